"""Real MQTT clients as devices, all behind one interface: paho-mqtt, gmqtt, aiomqtt, MQTT.js, mosquitto_sub.

Each runs as a process of its own, as it would in the field. A script prints one JSON object a line: `ready`,
`message`, `refused`; it says good-bye and ends when its standard input ends. mosquitto_sub is no script: its
debug output is read instead.
"""
