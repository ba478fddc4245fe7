wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "text/event-stream"
wrk.body = '{"prompt":"a lighthouse in fog","partial_images":3,"stream":true}'
