#ifndef SAFELIGHT_CCURL_H
#define SAFELIGHT_CCURL_H

// What Swift cannot call of libcurl and Linux: variadic functions, macros, and structures with unions.

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if LIBCURL_VERSION_NUM < 0x075000
#error "libcurl 7.80 or newer is needed (CURLOPT_PREREQFUNCTION)"
#endif

/// Once per process, before anything else of libcurl. Its buffers are kept for the calling thread's next call.
CURLcode ccurl_global_init(void);
/// Frees what is kept for the calling thread, before it ends.
void ccurl_release_memory(void);

// Easy handles. Setters return CURLcode.

/// The options every call shares. `buffer_size` is the receive buffer in bytes.
CURLcode ccurl_easy_apply_profile(CURL *easy, long buffer_size);
CURLcode ccurl_easy_set_long(CURL *easy, CURLoption option, long value);
CURLcode ccurl_easy_set_offset(CURL *easy, CURLoption option, int64_t value);
/// libcurl copies the text of string options.
CURLcode ccurl_easy_set_string(CURL *easy, CURLoption option, const char *value);
CURLcode ccurl_easy_set_pointer(CURL *easy, CURLoption option, void *value);
/// Copies `size` bytes and makes them the body of a POST.
CURLcode ccurl_easy_set_copied_body(CURL *easy, const void *bytes, size_t size);

typedef size_t (*ccurl_data_callback)(char *bytes, size_t size, size_t count, void *context);
typedef int (*ccurl_seek_callback)(void *context, curl_off_t offset, int origin);
typedef int (*ccurl_prereq_callback)(void *context, char *peer, char *local, int peer_port, int local_port);

/// All callbacks of one call receive `context`.
CURLcode ccurl_easy_set_call_callbacks(CURL *easy, void *context, ccurl_data_callback header, ccurl_data_callback body,
                                       ccurl_data_callback upload, ccurl_seek_callback seek,
                                       ccurl_prereq_callback prereq);

typedef void (*ccurl_socket_event)(void *context);

/// Sockets are made close-on-exec; `context` outlives every connection made under it. `opened` and `closed` are told
/// of each.
struct ccurl_socket_observer {
    void *context;
    ccurl_socket_event opened;
    ccurl_socket_event closed;
};
CURLcode ccurl_easy_set_socket_observer(CURL *easy, struct ccurl_socket_observer *observer);

/// `address` is numeric. False: no socket is made for it.
typedef bool (*ccurl_address_check)(void *context, const char *address);

/// Behind a gate sockets are made for addresses alone that the check lets through.
struct ccurl_socket_gate {
    struct ccurl_socket_observer *observer;
    void *context;
    ccurl_address_check check;
};
/// After the observer's, whose place it takes for opening. `gate` outlives the call.
CURLcode ccurl_easy_set_socket_gate(CURL *easy, struct ccurl_socket_gate *gate);

/// The certificate file libcurl was built to use, or NULL.
const char *ccurl_default_certificates(void);

void *ccurl_easy_private(CURL *easy);
/// Bytes of requests that the kernel or the TLS library has taken, over all attempts of the call.
long ccurl_easy_request_size(CURL *easy);

// Multi handles.

typedef int (*ccurl_socket_callback)(CURL *easy, curl_socket_t socket, int what, void *context, void *assigned);
typedef int (*ccurl_timer_callback)(CURLM *multi, long milliseconds, void *context);

CURLMcode ccurl_multi_set_callbacks(CURLM *multi, void *context, ccurl_socket_callback socket,
                                    ccurl_timer_callback timer);
CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value);

struct ccurl_message {
    CURL *easy;
    CURLcode result;
};
/// Takes the next finished call; false when there is none.
bool ccurl_multi_next_done(CURLM *multi, struct ccurl_message *message);

// URLs, read by the parser that the call itself will use.

/// Host in its ASCII form, without brackets, and port: `fallback_port` where the URL has none, or the scheme's own
/// where that is 0. False for a URL without scheme or host.
bool ccurl_parse_url(const char *url, char *scheme, size_t scheme_size, char *host, size_t host_size, uint16_t *port,
                     uint16_t fallback_port);
/// 4, 6, or 0 for a name.
int ccurl_address_family(const char *host);

// Linux.

/// The addresses of a name, comma-separated, IPv6 in brackets, in the order of RFC 6724. Blocks. Returns getaddrinfo's
/// code.
int ccurl_lookup(const char *name, char *addresses, size_t size);
const char *ccurl_lookup_error(int code);

/// Processors this process may run on, at least 1.
int ccurl_available_processors(void);
uint64_t ccurl_monotonic_nanoseconds(void);

struct ccurl_event {
    uint64_t tag;
    /// CURL_CSELECT_ bits.
    int mask;
};
int ccurl_poll_create(void);
/// `what` is CURL_POLL_IN, CURL_POLL_OUT, CURL_POLL_INOUT or CURL_POLL_REMOVE; `known` whether the
/// descriptor is watched already. Returns 0 or an errno.
int ccurl_poll_watch(int poll, int descriptor, int what, bool known, uint64_t tag);
/// Watches an eventfd, edge-triggered, so that it need not be read.
int ccurl_poll_watch_wakeup(int poll, int descriptor, uint64_t tag);
/// Returns the number of events; 0 also after a signal. -1 for no timeout.
int ccurl_poll_wait(int poll, struct ccurl_event *events, int capacity, int timeout_milliseconds);
int ccurl_wakeup_create(bool semaphore);
void ccurl_wakeup_signal(int descriptor);
/// Blocks until the semaphore is above 0 and takes 1.
void ccurl_wakeup_take(int descriptor);

typedef void *(*ccurl_thread_main)(void *context);
/// Starts a thread with all signals but those of crashes blocked: OpenSSL may raise SIGPIPE, and the others are for
/// the main thread. Writes the thread's id, or detaches it where `thread` is NULL. Returns 0 or an errno.
int ccurl_thread_start(uint64_t *thread, const char *name, ccurl_thread_main main, void *context);
uint64_t ccurl_thread_current(void);
void ccurl_thread_join(uint64_t thread);

/// A file that lives in memory, holding the bytes; its path under /proc works as long as the descriptor is open. -1 on
/// failure.
int ccurl_memory_file(const char *name, const void *bytes, size_t size);

#endif
