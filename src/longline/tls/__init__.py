"""TLS for whoever has a port: the certificate as its files have it, tickets, handshakes in their bounds, and
a connection's bytes in clear.

It knows neither MQTT nor HTTP: a connection here is a protocol to the socket below it, and a transport to the
protocol above it.
"""
