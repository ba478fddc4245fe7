#define _GNU_SOURCE
#include "CCurl.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int ccurl_lookup(const char *name, char *addresses, size_t size) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(name, NULL, &hints, &list);
    addresses[0] = 0;
    if (code != 0) return code;
    size_t used = 0;
    for (struct addrinfo *entry = list; entry != NULL; entry = entry->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) continue;
        bool six = entry->ai_family == AF_INET6;
        // A scoped address cannot be handed to libcurl.
        if (strchr(text, '%') != NULL) continue;
        size_t length = strlen(text), needed = length + (six ? 2 : 0) + (used > 0 ? 1 : 0);
        if (used + needed + 1 > size) break;
        if (used > 0) addresses[used++] = ',';
        if (six) addresses[used++] = '[';
        memcpy(addresses + used, text, length);
        used += length;
        if (six) addresses[used++] = ']';
        addresses[used] = 0;
    }
    freeaddrinfo(list);
    return used > 0 ? 0 : EAI_NONAME;
}

const char *ccurl_lookup_error(int code) { return gai_strerror(code); }

int ccurl_available_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? count : 1;
}

uint64_t ccurl_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int ccurl_poll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int ccurl_poll_watch(int poll, int descriptor, int what, bool known, uint64_t tag) {
    struct epoll_event event = {.data = {.u64 = tag}};
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    if (what == CURL_POLL_REMOVE) {
        // Already gone with its descriptor: what was wanted.
        return epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, &event) == 0 || errno == ENOENT || errno == EBADF ? 0 : errno;
    }
    if (epoll_ctl(poll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event) == 0) return 0;
    if (errno != (known ? ENOENT : EEXIST)) return errno;
    return epoll_ctl(poll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event) == 0 ? 0 : errno;
}

int ccurl_poll_watch_wakeup(int poll, int descriptor, uint64_t tag) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u64 = tag}};
    return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

int ccurl_poll_wait(int poll, struct ccurl_event *events, int capacity, int timeout_milliseconds) {
    struct epoll_event raw[256];
    if (capacity > 256) capacity = 256;
    int count = epoll_wait(poll, raw, capacity, timeout_milliseconds);
    for (int index = 0; index < count; index++) {
        int mask = 0;
        if (raw[index].events & EPOLLIN) mask |= CURL_CSELECT_IN;
        if (raw[index].events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
        // Reading and writing bring libcurl to the socket's own error; CURL_CSELECT_ERR alone would hide it.
        if (raw[index].events & (EPOLLERR | EPOLLHUP)) mask |= CURL_CSELECT_IN | CURL_CSELECT_OUT;
        events[index].tag = raw[index].data.u64;
        events[index].mask = mask;
    }
    return count > 0 ? count : 0;
}

int ccurl_wakeup_create(bool semaphore) {
    return eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : EFD_NONBLOCK));
}

void ccurl_wakeup_signal(int descriptor) {
    uint64_t one = 1;
    while (write(descriptor, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void ccurl_wakeup_take(int descriptor) {
    uint64_t value;
    while (read(descriptor, &value, sizeof value) < 0 && errno == EINTR) {
    }
}

int ccurl_thread_start(uint64_t *thread, const char *name, ccurl_thread_main main, void *context) {
    sigset_t all, before;
    sigfillset(&all);
    const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS, SIGPROF};
    for (size_t index = 0; index < sizeof crashes / sizeof crashes[0]; index++) sigdelset(&all, crashes[index]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t handle;
    int code = pthread_create(&handle, NULL, main, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) return code;
    pthread_setname_np(handle, name);
    if (thread != NULL)
        *thread = (uint64_t)handle;
    else
        pthread_detach(handle);
    return 0;
}

uint64_t ccurl_thread_current(void) { return (uint64_t)pthread_self(); }

void ccurl_thread_join(uint64_t thread) { pthread_join((pthread_t)thread, NULL); }

int ccurl_memory_file(const char *name, const void *bytes, size_t size) {
    int descriptor = memfd_create(name, MFD_CLOEXEC);
    if (descriptor < 0) return -1;
    size_t written = 0;
    while (written < size) {
        ssize_t count = write(descriptor, (const char *)bytes + written, size - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            close(descriptor);
            return -1;
        }
        written += (size_t)count;
    }
    return descriptor;
}
