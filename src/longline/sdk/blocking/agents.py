# Made by tools/blocking.py of longline/sdk/calls/agents.py: change that one, and run it.
"""Agents of hosts, the processes that they keep running, and rolling restarts."""

from collections.abc import Sequence
from typing import Final

import msgspec

from longline.model.devices import JsonObject
from longline.sdk.agents import AgentInfo
from longline.sdk.blocking.http import SyncHttp
from longline.sdk.paths import quoted

ANSWER_WITHIN: Final = 20.0  # s: the server waits until the agent has said that it begins


class _AgentList(msgspec.Struct):
    agents: list[AgentInfo]


class SyncAgentCalls:
    """A part of `SyncCenter`."""

    _http: SyncHttp

    def agents(self) -> list[AgentInfo]:
        """The agents of all hosts, by name, with the processes that they keep running."""
        return (self._http.call("GET", "/v1/agents", _AgentList, safe=True)).agents

    def agent(self, agent: str) -> AgentInfo:
        """One of them. Raises `AgentNotFound`."""
        return self._http.call("GET", _agent(agent), AgentInfo, safe=True)

    def restart_agent(self, agent: str, *, processes: Sequence[str] | None = None) -> AgentInfo:
        """Has an agent replace its processes by new ones, one after the other: these, by node, or all.

        It returns when that has begun; `agent` tells how far it has come. Raises `AgentNotFound`,
        `AgentAway`, `RestartUnderWay`, and `AgentSilent` when it does not take the order.
        """
        body: JsonObject = {} if processes is None else {"processes": [*processes]}
        return self._http.call(
            "POST", f"{_agent(agent)}:restart", AgentInfo, body=body, safe=False, within=ANSWER_WITHIN
        )

    def cancel_restart(self, agent: str) -> AgentInfo:
        """Takes a rolling restart back whose new processes are not ready yet.

        Raises `NothingToCancel` when there is none, or it is too late.
        """
        return self._http.call("POST", f"{_agent(agent)}:cancel", AgentInfo, safe=False, within=ANSWER_WITHIN)


def _agent(agent: str) -> str:
    return f"/v1/agents/{quoted(agent)}"
