#include "CCurl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SET(option, value)                                             \
    do {                                                               \
        CURLcode code = curl_easy_setopt(easy, option, value);         \
        if (code != CURLE_OK) return code;                             \
    } while (0)

CURLcode ccurl_easy_apply_profile(CURL *easy, long buffer_size) {
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    SET(CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L);
    // One certificate store per multi handle instead of one per connection; it needs CURLOPT_CAPATH unset.
    SET(CURLOPT_CA_CACHE_TIMEOUT, 86400L);
#endif
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    // Credentials meant for the upstream must not reach a proxy.
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 60L);
    SET(CURLOPT_TCP_KEEPINTVL, 30L);
    // Refused where the handle still has the buffer of its last call, as after HTTP/2: that one serves as well.
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer_size);
    // Old idle connections are the likeliest to die under the next request.
    SET(CURLOPT_MAXAGE_CONN, 30L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    return CURLE_OK;
}

CURLcode ccurl_easy_set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_easy_set_offset(CURL *easy, CURLoption option, int64_t value) {
    return curl_easy_setopt(easy, option, (curl_off_t)value);
}

CURLcode ccurl_easy_set_string(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_easy_set_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

CURLcode ccurl_easy_set_copied_body(CURL *easy, const void *bytes, size_t size) {
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    SET(CURLOPT_COPYPOSTFIELDS, size > 0 ? (const char *)bytes : "");
    return CURLE_OK;
}

CURLcode ccurl_easy_set_call_callbacks(CURL *easy, void *context, ccurl_data_callback header, ccurl_data_callback body,
                                       ccurl_data_callback upload, ccurl_seek_callback seek,
                                       ccurl_prereq_callback prereq) {
    SET(CURLOPT_PRIVATE, context);
    SET(CURLOPT_HEADERFUNCTION, header);
    SET(CURLOPT_HEADERDATA, context);
    SET(CURLOPT_WRITEFUNCTION, body);
    SET(CURLOPT_WRITEDATA, context);
    SET(CURLOPT_READFUNCTION, upload);
    SET(CURLOPT_READDATA, context);
    SET(CURLOPT_SEEKFUNCTION, seek);
    SET(CURLOPT_SEEKDATA, context);
    SET(CURLOPT_PREREQFUNCTION, prereq);
    SET(CURLOPT_PREREQDATA, context);
    return CURLE_OK;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct ccurl_socket_observer *observer = context;
    int descriptor = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (descriptor < 0) return CURL_SOCKET_BAD;
    observer->opened(observer->context);
    return descriptor;
}

static int close_socket(void *context, curl_socket_t descriptor) {
    struct ccurl_socket_observer *observer = context;
    observer->closed(observer->context);
    return close(descriptor);
}

CURLcode ccurl_easy_set_socket_observer(CURL *easy, struct ccurl_socket_observer *observer) {
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, observer);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, observer);
    return CURLE_OK;
}

static curl_socket_t open_checked_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct ccurl_socket_gate *gate = context;
    const void *bytes = NULL;
    if (address->family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)&address->addr)->sin_addr;
    else if (address->family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)&address->addr)->sin6_addr;
    char text[INET6_ADDRSTRLEN];
    if (bytes == NULL || inet_ntop(address->family, bytes, text, sizeof text) == NULL) return CURL_SOCKET_BAD;
    if (!gate->check(gate->context, text)) return CURL_SOCKET_BAD;
    return open_socket(gate->observer, purpose, address);
}

CURLcode ccurl_easy_set_socket_gate(CURL *easy, struct ccurl_socket_gate *gate) {
    SET(CURLOPT_OPENSOCKETFUNCTION, open_checked_socket);
    SET(CURLOPT_OPENSOCKETDATA, gate);
    return CURLE_OK;
}

const char *ccurl_default_certificates(void) { return curl_version_info(CURLVERSION_NOW)->cainfo; }

void *ccurl_easy_private(CURL *easy) {
    char *context = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &context);
    return context;
}

long ccurl_easy_request_size(CURL *easy) {
    long size = 0;
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &size);
    return size;
}

CURLMcode ccurl_multi_set_callbacks(CURLM *multi, void *context, ccurl_socket_callback socket,
                                    ccurl_timer_callback timer) {
    CURLMcode code = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket);
    if (code == CURLM_OK) code = curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
    if (code == CURLM_OK) code = curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer);
    if (code == CURLM_OK) code = curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
    return code;
}

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

bool ccurl_multi_next_done(CURLM *multi, struct ccurl_message *message) {
    int left = 0;
    CURLMsg *next;
    while ((next = curl_multi_info_read(multi, &left)) != NULL) {
        if (next->msg != CURLMSG_DONE) continue;
        message->easy = next->easy_handle;
        message->result = next->data.result;
        return true;
    }
    return false;
}

static bool copy_part(CURLU *url, CURLUPart part, unsigned flags, char *out, size_t size) {
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return false;
    size_t length = strlen(text);
    bool fits = length < size;
    if (fits) memcpy(out, text, length + 1);
    curl_free(text);
    return fits;
}

bool ccurl_parse_url(const char *text, char *scheme, size_t scheme_size, char *host, size_t host_size, uint16_t *port,
                     uint16_t fallback_port) {
    CURLU *url = curl_url();
    if (url == NULL) return false;
    unsigned host_flags = 0;
#ifdef CURLU_PUNYCODE
    host_flags = CURLU_PUNYCODE;
#endif
    char digits[8];
    bool good = curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK
        && copy_part(url, CURLUPART_SCHEME, 0, scheme, scheme_size)
        && copy_part(url, CURLUPART_HOST, host_flags, host, host_size);
    *port = fallback_port;
    unsigned port_flags = fallback_port == 0 ? CURLU_DEFAULT_PORT : 0;
    if (good && copy_part(url, CURLUPART_PORT, port_flags, digits, sizeof digits))
        *port = (uint16_t)strtoul(digits, NULL, 10);
    curl_url_cleanup(url);
    size_t length = good ? strlen(host) : 0;
    if (length > 1 && host[0] == '[' && host[length - 1] == ']') {
        memmove(host, host + 1, length - 2);
        host[length - 2] = 0;
    }
    return good && host[0] != 0;
}

int ccurl_address_family(const char *host) {
    unsigned char storage[16];
    if (inet_pton(AF_INET, host, storage) == 1) return 4;
    if (inet_pton(AF_INET6, host, storage) == 1 || strchr(host, ':') != NULL) return 6;
    return 0;
}
