// The API's reference, drawn by Scalar from the platform's own OpenAPI document. Nothing is fetched from elsewhere.
Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: "never",
  hideClientButton: true,
  documentDownloadType: "json",
  persistAuth: false,
  defaultOpenAllTags: false,
  // Examples in these languages; Scalar knows many more.
  hiddenClients: {
    c: true, clojure: true, csharp: true, dart: true, fsharp: true, http: true, js: true, julia: true, kotlin: true,
    objc: true, ocaml: true, php: true, powershell: true, r: true, ruby: true, rust: true, swift: true,
    go: [], java: ["asynchttp", "okhttp", "unirest"], node: ["axios", "ofetch", "undici"],
    python: ["aiohttp", "httpx_async", "httpx_sync", "python3"], shell: ["httpie", "wget"],
  },
  authentication: { preferredSecurityScheme: "bearer" },
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
});
