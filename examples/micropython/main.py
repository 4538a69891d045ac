"""A lamp with a thermometer, for MicroPython: pushes, calls, a shadow, and readings to the app server.

On a board, `mpremote mip install umqtt.simple`, then copy this file and a `config.py` beside it:

    SERVER = "192.0.2.10"   # where Longline listens
    PORT = 1883
    APP = "home"
    DEVICE = "lamp"
    TOKEN = "eyJ…"          # what `longline token home lamp` prints as the password

Without a board: `python examples/micropython/desktop/run.py APP DEVICE`. See README.md beside this file.
"""

import json
import time

from umqtt.simple import MQTTClient

KEEP_ALIVE = 60  # s; umqtt sends nothing by itself, so a ping has to leave in less than that
READING_EVERY = 30  # s


class Lamp:
    """What the device does. Neither sockets nor pins: `light` is called with what the lamp is to do."""

    def __init__(self, light, temperature):
        self.light = light
        self.temperature = temperature
        self.say = []  # (topic, payload) that are to be sent; umqtt is not to be called from its own callback

    def received(self, topic, payload):
        """Called by umqtt for each message. umqtt sends the receipt (PUBACK) when this returns."""
        topic = topic.decode()
        try:
            value = json.loads(payload)
        except ValueError:
            value = payload.decode()
        if topic == "shadow/desired":
            if "on" in value:
                self.light(value["on"])
                self.say.append(("shadow/reported", {"on": value["on"]}))
        elif topic.startswith("push/"):
            message_id = topic[len("push/") :]
            if isinstance(value, dict) and value.get("command") == "read":
                # MQTT 3.1.1 does not say that the sender waits; what asks for an answer is up to the app.
                self.say.append(("reply/" + message_id, {"celsius": self.temperature()}))
            else:
                print("push:", value)
                self.say.append(("event/" + message_id + "/shown", {}))
        elif topic == "$link/gap":
            print("missed:", value)


def serve(config, lamp, turns=None):
    """Connects and serves until the connection breaks (OSError). `turns`: how many looks at the network."""
    client = MQTTClient(config.DEVICE, config.SERVER, config.PORT, config.APP, config.TOKEN, KEEP_ALIVE)
    client.set_callback(lamp.received)
    client.connect()  # no subscription: pushes and the shadow come without one
    print("connected")
    pinged = read = time.time()
    lamp.say.append(("up/temperature", {"celsius": lamp.temperature()}))
    try:
        while turns is None or turns > 0:
            while client.check_msg() is not None:
                pass
            while lamp.say:
                topic, value = lamp.say[0]
                client.publish(topic, json.dumps(value), qos=1)  # returns when the server has stored it
                lamp.say.pop(0)
            now = time.time()
            if now - read >= READING_EVERY:
                read = now
                lamp.say.append(("up/temperature", {"celsius": lamp.temperature()}))
            if now - pinged >= KEEP_ALIVE // 3:
                pinged = now
                client.ping()
            time.sleep(0.1)
            if turns is not None:
                turns -= 1
    finally:
        client.disconnect()


def main(config, lamp):
    """Serves, and comes back when the connection breaks; what was pushed meanwhile arrives then."""
    pause = 1
    while True:
        try:
            serve(config, lamp)
        except OSError as error:
            print("not connected:", error)
        time.sleep(pause)  # without it, a thousand lamps come back in the same second
        pause = min(2 * pause, 60)


if __name__ == "__main__":
    import config
    from machine import Pin

    pin = Pin("LED", Pin.OUT)
    main(config, Lamp(pin.value, lambda: 21.5))
