"""`MQTTClient` with the methods of `umqtt.simple`, for running a device's program without a board.

Written against the documented interface: MQTT 3.1.1, QoS 0 and 1, one message a call, and the receipt of a
message with QoS 1 sent when the callback has returned. The original is in micropython/micropython-lib.
"""

import socket
import struct

CONNACK, PUBLISH, PUBACK, PINGRESP = 0x20, 0x30, 0x40, 0xD0


class MQTTException(Exception):
    """The server refused, with the return code of CONNACK."""


class MQTTClient:
    """One connection. `keepalive` in seconds; 0: none. The caller has to ping in less than that."""

    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        self.client_id, self.user, self.pswd, self.keepalive = client_id, user, password, keepalive
        self.server, self.port, self.ssl = server, port or (8883 if ssl else 1883), ssl
        self.cb = self.sock = None
        self.pid = 0

    def set_callback(self, f):
        self.cb = f

    def connect(self, clean_session=True):
        self.sock = socket.create_connection((self.server, self.port))
        if self.ssl:
            self.sock = self.ssl.wrap_socket(self.sock, server_hostname=self.server)
        flags = clean_session << 1 | (0xC0 if self.user else 0)
        body = _text("MQTT") + struct.pack("!BBH", 4, flags, self.keepalive) + _text(self.client_id)
        if self.user:
            body += _text(self.user) + _text(self.pswd)
        self._send(0x10, body)
        _, answer = self._packet()
        if answer[1]:
            raise MQTTException(answer[1])
        return answer[0] & 1

    def disconnect(self):
        self._send(0xE0, b"")
        self.sock.close()

    def ping(self):
        self._send(0xC0, b"")

    def publish(self, topic, msg, retain=False, qos=0):
        assert qos in (0, 1), "umqtt.simple knows QoS 0 and 1"
        self.pid = self.pid % 0xFFFF + 1
        pid = struct.pack("!H", self.pid) if qos else b""
        self._send(PUBLISH | qos << 1 | retain, _text(topic) + pid + _bytes(msg))
        while qos:
            kind, body = self._one()
            if kind == PUBACK and body[:2] == pid:
                return

    def wait_msg(self):
        """Blocks until one packet has come; its kind, or None for the answer to a ping."""
        kind, _ = self._one()
        return None if kind == PINGRESP else kind

    def check_msg(self):
        """As `wait_msg`, but None at once when nothing has come."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        finally:
            self.sock.setblocking(True)
        return self.wait_msg()

    def _one(self):
        """One packet; a message goes to the callback, and is acknowledged then."""
        kind, body = self._packet()
        if kind & 0xF0 == PUBLISH:
            end = 2 + struct.unpack_from("!H", body)[0]
            topic, rest = body[2:end], body[end:]
            pid, payload = (rest[:2], rest[2:]) if kind & 6 else (b"", rest)
            self.cb(topic, payload)
            if pid:
                self._send(PUBACK, pid)
        return kind, body

    def _packet(self):
        kind, length, shift = self._read(1)[0], 0, 0
        while True:
            byte = self._read(1)[0]
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return kind, self._read(length)
            shift += 7

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise OSError(-1)
            data += more
        return data

    def _send(self, kind, body):
        head, length = bytearray([kind]), len(body)
        while True:
            head.append(length & 0x7F | (0x80 if length > 0x7F else 0))
            length >>= 7
            if not length:
                self.sock.sendall(bytes(head) + body)
                return


def _bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def _text(text):
    data = _bytes(text)
    return struct.pack("!H", len(data)) + data
