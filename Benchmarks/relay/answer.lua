wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer none"
wrk.body = '{"model":"gpt-image-1","prompt":"a lighthouse in fog"}'
