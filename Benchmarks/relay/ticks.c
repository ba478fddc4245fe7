// How much later a small event arrives through a gateway: upstream and clients in one thread, so that one clock stamps and reads.
//
//   ticks UPSTREAM_PORT GATEWAY_PORT STREAMS SECONDS [EVENTS_PER_SECOND [QUIET_SECONDS]]
//
// Opens STREAMS streams through the gateway, prints `open`, says nothing for QUIET_SECONDS, prints `begun`, sends the events on one after
// the other, evenly spread over the second (as many as there are streams, unless told otherwise), and prints `events N p50 MS p99 MS max MS`.
// GATEWAY_PORT equal to UPSTREAM_PORT measures without a gateway.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { LISTENER, TIMER, UPSTREAM, CLIENT };
enum { WINDOW = 32, CARRY = 4096, FIRST_SECONDS = 2 };

struct connection {
    int kind, descriptor, answered, number;
    size_t held;
    char bytes[CARRY];
};

static int poll_descriptor, opened, answered, streams, rate;
static struct connection **upstreams;
static int upstream_count;
static double *delays;
static size_t delay_count, delay_room;
static int64_t measure_from;

static const char body[] = "{\"prompt\":\"a lighthouse in fog\",\"partial_images\":3,\"stream\":true}";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t microseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static struct connection *watch(int kind, int descriptor) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) die("memory");
    connection->kind = kind;
    connection->descriptor = descriptor;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event) != 0) die("epoll");
    int on = 1;
    if (kind == UPSTREAM || kind == CLIENT) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void send_whole(int descriptor, const char *text, size_t count) {
    // Small enough for any socket buffer: a short write means that the peer is gone.
    if (send(descriptor, text, count, MSG_NOSIGNAL) != (ssize_t)count) fprintf(stderr, "a stream broke\n");
}

static void open_client(int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    char request[512];
    int count = snprintf(request, sizeof request,
                         "POST /idle/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                         "Accept: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(body), body);
    send_whole(descriptor, request, (size_t)count);
    watch(CLIENT, descriptor);
    opened++;
}

static void note(int64_t stamp) {
    int64_t now = microseconds();
    if (stamp < measure_from) return;
    if (delay_count == delay_room) {
        delay_room = delay_room ? delay_room * 2 : 65536;
        delays = realloc(delays, delay_room * sizeof *delays);
        if (delays == NULL) die("memory");
    }
    delays[delay_count++] = (double)(now - stamp) / 1000;
}

/// Finds whole stamps; what may be the beginning of one stays for the next read.
static void take_stamps(struct connection *client) {
    static const char mark[] = "\"created_at\":";
    char *at = client->bytes, *end = client->bytes + client->held;
    for (;;) {
        char *found = memmem(at, (size_t)(end - at), mark, sizeof mark - 1);
        if (found == NULL) {
            size_t keep = (size_t)(end - at) < sizeof mark ? (size_t)(end - at) : sizeof mark;
            at = end - keep;
            break;
        }
        char *digits = found + sizeof mark - 1, *next = digits;
        while (next < end && (*next == ' ' || (*next >= '0' && *next <= '9'))) next++;
        if (next == end) {
            at = found;
            break;
        }
        note(strtoll(digits, NULL, 10));
        at = next;
    }
    client->held = (size_t)(end - at);
    memmove(client->bytes, at, client->held);
}

static void read_client(struct connection *client) {
    ssize_t count = recv(client->descriptor, client->bytes + client->held, CARRY - client->held, 0);
    if (count <= 0) {
        fprintf(stderr, "a stream ended early\n");
        close(client->descriptor);
        return;
    }
    client->held += (size_t)count;
    if (!client->answered) {
        client->answered = 1;
        answered++;
    }
    take_stamps(client);
}

static void read_upstream(struct connection *upstream) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: open\n\n";
    ssize_t count = recv(upstream->descriptor, upstream->bytes + upstream->held, CARRY - 1 - upstream->held, 0);
    if (count <= 0) {
        close(upstream->descriptor);
        upstream->descriptor = -1;
        return;
    }
    upstream->held += (size_t)count;
    upstream->bytes[upstream->held] = 0;
    if (upstream->answered || strstr(upstream->bytes, "\r\n\r\n") == NULL) return;
    upstream->answered = 1;
    send_whole(upstream->descriptor, head, sizeof head - 1);
    upstreams[upstream_count++] = upstream;
}

static void tick(struct connection *upstream) {
    if (upstream->descriptor < 0) return;
    char event[256];
    int count = snprintf(event, sizeof event,
                         "data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AAAA\",\"size\":\"auto\","
                         "\"partial_image_index\":%d,\"created_at\":%lld}\n\n",
                         upstream->number++, (long long)microseconds());
    send_whole(upstream->descriptor, event, (size_t)count);
}

/// Sends what has come due since the last look.
static void tick_due(int64_t begin, int64_t *done) {
    int64_t due = (microseconds() - begin) * rate / 1000000;
    for (; *done < due; ++*done) tick(upstreams[*done % streams]);
}

static int ascending(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
    if (count < 5 || count > 7)
        return fprintf(stderr, "usage: ticks UPSTREAM_PORT GATEWAY_PORT STREAMS SECONDS [EVENTS_PER_SECOND [QUIET_SECONDS]]\n"), 2;
    int upstream_port = atoi(arguments[1]), gateway_port = atoi(arguments[2]);
    streams = atoi(arguments[3]);
    int seconds = atoi(arguments[4]);
    rate = count >= 6 ? atoi(arguments[5]) : streams;
    int64_t quiet = count == 7 ? atoi(arguments[6]) * (int64_t)1000000 : 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    upstreams = calloc((size_t)streams + 64, sizeof *upstreams);
    poll_descriptor = epoll_create1(EPOLL_CLOEXEC);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(upstream_port);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) die("listen");
    watch(LISTENER, listener);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec every = {{0, 500000}, {0, 500000}};
    timerfd_settime(timer, 0, &every, NULL);
    watch(TIMER, timer);

    int64_t begin = 0, silent_from = 0, done = 0, give_up = microseconds() + 30000000;
    struct epoll_event events[256];
    for (;;) {
        while (opened < streams && opened - answered < WINDOW) open_client(gateway_port);
        if (silent_from == 0 && answered >= streams && upstream_count >= streams) {
            silent_from = microseconds();
            puts("open");
            fflush(stdout);
        }
        if (begin == 0 && silent_from != 0 && microseconds() >= silent_from + quiet) {
            begin = microseconds();
            measure_from = begin + FIRST_SECONDS * 1000000;
            puts("begun");
            fflush(stdout);
        }
        if (silent_from == 0 && microseconds() > give_up) return fprintf(stderr, "streams did not open\n"), 1;
        if (begin != 0 && microseconds() > measure_from + (int64_t)seconds * 1000000) break;
        int ready = epoll_wait(poll_descriptor, events, 256, 1000);
        for (int index = 0; index < ready; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection->kind == LISTENER) {
                int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (accepted >= 0) watch(UPSTREAM, accepted);
            } else if (connection->kind == TIMER) {
                uint64_t times;
                if (read(timer, &times, sizeof times) > 0 && begin != 0) tick_due(begin, &done);
            } else if (connection->kind == UPSTREAM) {
                read_upstream(connection);
            } else {
                read_client(connection);
            }
        }
    }
    if (delay_count == 0) return fprintf(stderr, "no events came\n"), 1;
    qsort(delays, delay_count, sizeof *delays, ascending);
    printf("events %zu p50 %.3f p99 %.3f max %.3f\n", delay_count, delays[delay_count / 2],
           delays[delay_count * 99 / 100], delays[delay_count - 1]);
    return 0;
}
