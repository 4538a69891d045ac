"""What `redis.py` has the store do, each script in one step.

{keeper}members  HASH node → its owner, a space, the member as JSON
{keeper}beats    ZSET node → ms when it is taken for dead, unless it is heard of before
{keeper}leaders  HASH duty → node
{keeper}terms    HASH duty → the term of its present or last leader
{keeper}values   HASH key → its version, a newline, the value
{keeper}state    HASH `changes` of members and leaders, `written` values: counters; `beat`: ms of the last
                 heartbeat of anybody; `removed`: the highest version that a removed value had; `many`: ms
                 since which too many members are silent, `died`: of the last that was declared dead then
{keeper}wrote:OWNER  the owner's last write and its answer, for a minute
"""
