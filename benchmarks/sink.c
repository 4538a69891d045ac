/* The least that an MQTT broker can do: the yardstick for the load generator, not for any broker.
 *
 *     gcc -O2 -o sink sink.c && taskset -c 0 ./sink PORT [batch]
 *
 * MQTT 3.1.1, QoS 0, topics without wildcards, one thread. It checks nothing and queues nothing. As it is, it makes
 * one system call per delivery, the least for a broker that does not gather; with `batch`, one for all the
 * packets that one read has brought, the least for a broker that does. What `longline bench fanout`
 * measures against it is the ceiling that the generator and the kernel's loopback set together.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 8192, MAX_TOPICS = 1024, READ = 65536, CARRY = 1 << 17 };

static struct {
    char *name;
    int length, count, members[MAX_FD];
} topics[MAX_TOPICS];
static int topic_count;

static struct {
    unsigned char *bytes; /* of a packet that is not all there */
    int size;
} carry[MAX_FD];

static int topic_named(const unsigned char *name, int length)
{
    for (int i = 0; i < topic_count; i++)
        if (topics[i].length == length && !memcmp(topics[i].name, name, length))
            return i;
    if (topic_count == MAX_TOPICS)
        exit(1);
    topics[topic_count].name = strndup((const char *)name, length);
    topics[topic_count].length = length;
    return topic_count++;
}

static void send_all(int fd, const unsigned char *bytes, int size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
        else if (sent < 0)
            return; /* its own event will tell */
        else
            bytes += sent, size -= sent;
    }
}

static void deliver(int topic, const unsigned char *bytes, int size)
{
    for (int i = 0; i < topics[topic].count; i++)
        send_all(topics[topic].members[i], bytes, size);
}

static void leave(int fd)
{
    for (int t = 0; t < topic_count; t++)
        for (int i = 0; i < topics[t].count; i++)
            if (topics[t].members[i] == fd)
                topics[t].members[i--] = topics[t].members[--topics[t].count];
    free(carry[fd].bytes);
    carry[fd].bytes = NULL;
    close(fd);
}

static void serve(int fd, int batch)
{
    static unsigned char data[CARRY + READ];
    memcpy(data, carry[fd].bytes, carry[fd].size);
    ssize_t got = recv(fd, data + carry[fd].size, READ, 0);
    if (got <= 0) {
        leave(fd);
        return;
    }
    int size = carry[fd].size + (int)got, at = 0;
    int run = 0, run_topic = -1; /* publications to one topic, not yet delivered */
    for (;;) {
        int body = at + 1, length = 0, shift = 0, whole = 0;
        while (body < size && shift < 28 && !whole) {
            length |= (data[body] & 127) << shift;
            shift += 7;
            whole = !(data[body++] & 128);
        }
        if (!whole || body + length > size)
            break;
        int end = body + length, kind = data[at] >> 4;
        if (run_topic >= 0 && kind != 3)
            deliver(run_topic, data + run, at - run), run_topic = -1;
        if (kind == 1) {
            send_all(fd, (const unsigned char *)"\x20\x02\0\0", 4);
        } else if (kind == 8) {
            int topic = topic_named(data + body + 4, data[body + 2] << 8 | data[body + 3]);
            topics[topic].members[topics[topic].count++] = fd;
            send_all(fd, (unsigned char[]){0x90, 3, data[body], data[body + 1], 0}, 5);
        } else if (kind == 3) {
            int topic = topic_named(data + body + 2, data[body] << 8 | data[body + 1]);
            if (run_topic >= 0 && (topic != run_topic || !batch))
                deliver(run_topic, data + run, at - run), run_topic = -1;
            if (run_topic < 0)
                run = at, run_topic = topic;
        }
        at = end;
    }
    if (run_topic >= 0)
        deliver(run_topic, data + run, at - run);
    carry[fd].size = size - at;
    memcpy(carry[fd].bytes, data + at, size - at);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return fprintf(stderr, "usage: sink PORT [batch]\n"), 2;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        return perror("sink"), 1;
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[1024];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, ready, 1024, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd != listener) {
                serve(ready[i].data.fd, argc == 3);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                if (fd >= MAX_FD) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                carry[fd].bytes = malloc(CARRY);
                carry[fd].size = 0;
                event.data.fd = fd;
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
