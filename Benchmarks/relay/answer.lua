wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("SAFELIGHT_BENCH_TOKEN") or "none")
wrk.body = '{"model":"gpt-image-1","prompt":"a lighthouse in fog"}'
