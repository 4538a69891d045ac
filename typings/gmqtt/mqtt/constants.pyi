MQTTv311: int
MQTTv50: int
