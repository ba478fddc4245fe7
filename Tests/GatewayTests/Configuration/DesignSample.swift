/// A file that uses every key there is to be, also those of later releases.
enum DesignSample {
    static let text = #"""
        {
          "$schema": "docs/routes.schema.json",
          "server":  { "listen": "127.0.0.1:8080", "public_url": "http://127.0.0.1:8080", "trusted_proxies": ["127.0.0.1/32"],
                       "cors": { "origins": ["http://localhost:3000"] }, "tls": { "certificate": "c.pem", "private_key": "k.pem" },
                       "body": "64MiB", "uri": "16KiB", "connections": { "total": 10000, "per_ip": 100 },
                       "write_stall": "30s", "drain": "30s", "playground": true },
          "admin":   { "listen": "127.0.0.1:9090", "token": { "env": "SAFELIGHT_ADMIN_TOKEN" } },
          "auth":    { "jwt": [{ "issuer": "https://id.example", "audience": "safelight", "jwks_url": "https://id.example/jwks",
                                 "algorithms": ["ES256"] }],
                       "tickets": { "secret": { "env": "SAFELIGHT_TICKET_SECRET" }, "lifetime": "2m" } },
          "limits":  { "public":  [{ "per": "ip", "requests": "30/min", "burst": 10 }, { "per": "ip", "concurrent": 3 }],
                       "partner": [{ "per": "token", "images": "1000/day" }, { "per": "token", "concurrent": 20 }] },
          "costs":   { "image": { "1024x1024/high": 4, "*": 1 }, "preview": 0.2 },
          "storage": { "jobs":   { "sqlite": "var/safelight.db", "retention": "24h", "keep_prompts": true },
                       "images": { "disk": "var/images", "prefix": "generated-images", "url_lifetime": "1h",
                                   "secret": { "env": "SAFELIGHT_URL_SECRET" } },
                       "memory": "512MiB" },
          "webhooks": { "app": { "url": "https://app.example/hooks/images", "secret": { "env": "APP_WEBHOOK_SECRET" } } },
          "upstreams": {
            "openai":   { "provider": "openai-images",    "base_url": "https://api.openai.com/v1", "api_key": { "env": "OPENAI_API_KEY" } },
            "chatgpt":  { "provider": "openai-responses", "base_url": "https://api.openai.com/v1", "api_key": { "env": "OPENAI_API_KEY" },
                          "model": "gpt-5", "background": true },
            "blog":     { "provider": "queue", "preset": "stages", "base_url": "https://images.example/api/v1/images" },
            "flux":     { "provider": "queue", "preset": "bfl", "api_key": { "env": "BFL_API_KEY" }, "result_hosts": ["*.bfl.ai"],
                          "concurrency": 8, "waiting": 100, "http": "1.1", "private_network": false, "breaker": {}, "retry": {} },
            "darkroom": { "provider": "openai-images", "base_url": "simulator:" }
          },
          "groups": { "photo": [{ "upstream": "openai", "weight": 3 }, { "upstream": "flux" }] },
          "route_defaults": {},
          "routes": [
            { "name": "images", "path": "/v1/images/generations", "dialect": "openai-images", "operation": "generate", "mode": "auto",
              "match": { "model": ["gpt-image-*"] }, "upstreams": ["openai", "darkroom"],
              "defaults": {}, "force": {}, "allow": { "max_n": 4, "sizes": ["1024x1024"] }, "unsupported": "refuse",
              "auth": "required", "scopes": ["images"], "limits": ["partner"], "public_without_limits": false,
              "delivery": "inline", "commit": "2s", "on_disconnect": "continue", "input_urls": "refuse", "intent": "always", "notify": "app",
              "timeouts": { "connect": "5s", "first_byte": "120s", "idle": "90s", "total": "10m", "queue": "30m" },
              "heartbeat": { "every": "15s", "style": "comment" } },
            { "name": "blog-queue", "mount": "/api/v1/images", "dialect": "stages", "upstreams": ["blog", "darkroom"], "auth": "public",
              "limits": ["public"] }
          ]
        }
        """#

    static let environment = [
        "OPENAI_API_KEY": "key-one", "BFL_API_KEY": "key-two", "SAFELIGHT_URL_SECRET": "0123456789abcdef",
        "SAFELIGHT_ADMIN_TOKEN": "an operator's token", "SAFELIGHT_TICKET_SECRET": "fedcba9876543210",
        "APP_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ]

    /// A file that it names and that is not there.
    static let missing = "$.server.tls.certificate"

    /// Everything of it that this release refuses, in order.
    static let refused = [
        "$.upstreams.chatgpt.provider", "$.upstreams.flux.preset",
    ]
}
