wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "text/event-stream"
local token = os.getenv("SAFELIGHT_BENCH_TOKEN")
if token then wrk.headers["Authorization"] = "Bearer " .. token end
wrk.body = '{"prompt":"a lighthouse in fog","partial_images":3,"stream":true}'
