//! What leaves the process, seen by a collector. Each case runs this test binary again as a child, since
//! telemetry is one per process and is set up by environment variables.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate_telemetry::{LogFormat, Telemetry, TelemetryConfig, field, inject, link_from, start};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Sender's span in another process; the example of the W3C specification.
const SENDER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ROLE: &str = "TELEMETRY_TEST_ROLE";

/// One POST.
#[derive(Debug, Clone)]
struct Post {
    path: String,
    headers: String,
    body: Vec<u8>,
}

impl Post {
    fn has(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.body.windows(bytes.as_ref().len()).any(|window| window == bytes.as_ref())
    }
}

/// A collector that records what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Post>>>);

impl Collector {
    async fn listen(&self, address: &str) -> std::io::Result<String> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collector.clone().serve(stream));
            }
        });
        Ok(url)
    }

    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.expect("a length").parse().expect("a number")];
            stream.read_exact(&mut body).await?;
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            self.0.lock().expect("lock").push(Post { path, headers: head, body });
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    }

    fn posts(&self, path: &str) -> Vec<Post> {
        self.0.lock().expect("lock").iter().filter(|post| post.path == path).cloned().collect()
    }
}

/// Runs [`child`] in a process of its own and returns what it wrote to stderr.
async fn run(role: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env_clear().env(ROLE, role);
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("join").expect("run");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{stderr}\n{}", String::from_utf8_lossy(&output.stdout));
    stderr
}

fn line(stderr: &str, message: &str) -> serde_json::Value {
    let lines = stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut found = lines.filter(|line| line["message"] == message);
    found.next().unwrap_or_else(|| panic!("no line {message:?} in {stderr}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
#[ignore = "the other side of the tests below, which start it"]
fn child() {
    match std::env::var(ROLE).as_deref() {
        Ok("plain") => work().shutdown(),
        Ok("error path") => {
            let failing = || -> Result<(), std::num::ParseIntError> {
                let telemetry = work();
                let _: i32 = "no number".parse()?;
                telemetry.shutdown();
                Ok(())
            };
            assert!(failing().is_err());
        }
        Ok("one-threaded runtime") => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async { work().shutdown() });
        }
        Ok("spans") => spans(),
        Ok("timed") => {
            let telemetry = work();
            let started = Instant::now();
            telemetry.shutdown();
            tracing::info!({ field::DURATION_MS } = started.elapsed().as_millis(), "ended");
        }
        _ => {}
    }
}

/// What a service does: a span with a link to its sender, a line in it, a counter.
fn work() -> Telemetry {
    let config = TelemetryConfig { log_format: LogFormat::Json, ..TelemetryConfig::new("tidegate-test", "1.2.3") };
    let telemetry = start(config).expect("telemetry starts");
    let calls = opentelemetry::global::meter("test").u64_counter("test.calls").build();
    let span = tracing::info_span!("make call", { field::JOB_ID } = "job_7");
    span.in_scope(|| {
        link_from(SENDER);
        calls.add(1, &[]);
        tracing::info!(exports = telemetry.exports(), traceparent = inject(), "call made");
    });
    telemetry
}

#[tokio::test]
async fn spans_and_a_counter_arrive_after_shutdown() {
    for role in ["plain", "one-threaded runtime", "error path"] {
        let collector = Collector::default();
        let url = collector.listen("127.0.0.1:0").await.expect("listen");
        let stderr = run(
            role,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=s3cret"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test-lab"),
            ],
        )
        .await;
        let (traces, metrics) = (collector.posts("/v1/traces"), collector.posts("/v1/metrics"));
        assert_eq!((traces.len(), metrics.len()), (1, 1), "{role}: {stderr}");
        for post in [&traces[0], &metrics[0]] {
            assert!(post.headers.contains("x-key: s3cret"), "{role}: {}", post.headers);
            assert!(post.headers.contains("content-type: application/x-protobuf"), "{role}: {}", post.headers);
            for text in ["tidegate-test", "1.2.3", "test-lab"] {
                assert!(post.has(text), "{role}: {text} is missing at {}", post.path);
            }
        }
        assert!(metrics[0].has("test.calls"), "{role}");
        let log = line(&stderr, "call made");
        assert_eq!((&log["exports"], &log["job.id"]), (&true.into(), &"job_7".into()));
        let (trace, span) = (log["trace_id"].as_str().expect("text"), log["span_id"].as_str().expect("text"));
        assert_eq!(log["traceparent"], format!("00-{trace}-{span}-01"));
        for (what, wanted) in [
            ("name", b"make call".to_vec()),
            ("field", b"job_7".to_vec()),
            ("trace id of the log line", bytes(trace)),
            ("span id of the log line", bytes(span)),
            ("link", bytes("0af7651916cd43dd8448eb211c80319c")),
        ] {
            assert!(traces[0].has(wanted), "{role}: {what} is missing");
        }
        assert!(!stderr.contains("s3cret"), "{stderr}");
    }
}

/// One span that goes well, one that fails, within spans of their own.
fn spans() {
    let telemetry = start(TelemetryConfig::new("tidegate-test", "1.2.3")).expect("telemetry starts");
    for name in ["well", "failed"] {
        let span = tracing::info_span!("outer", what = name, { field::STATUS } = tracing::field::Empty);
        span.in_scope(|| {
            drop(tracing::info_span!("inner", what = name).entered());
            if name == "failed" {
                span.record(field::STATUS, "ERROR");
            }
        });
    }
    telemetry.shutdown();
}

#[tokio::test]
async fn of_traces_that_are_left_out_spans_that_failed_are_kept() {
    for (sampler, part, has) in [
        ("parentbased_traceidratio", "0", ["failed"].as_slice()),
        ("parentbased_traceidratio", "1.0", &["well", "failed", "inner"]),
        ("always_off", "1.0", &[]),
    ] {
        let collector = Collector::default();
        let url = collector.listen("127.0.0.1:0").await.expect("listen");
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", part),
        ];
        let stderr = run("spans", &variables).await;
        let posts = collector.posts("/v1/traces");
        for text in ["well", "failed", "inner"] {
            let found = posts.iter().any(|post| post.has(text));
            assert_eq!(found, has.contains(&text), "{sampler} {part}: {text}; {stderr}");
        }
    }
}

#[tokio::test]
async fn processes_of_one_service_have_names_of_their_own() {
    let collector = Collector::default();
    let url = collector.listen("127.0.0.1:0").await.expect("listen");
    for _ in 0..2 {
        run("plain", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    }
    let key = b"service.instance.id";
    let instances: std::collections::HashSet<Vec<u8>> = collector
        .posts("/v1/metrics")
        .iter()
        .map(|post| {
            let at = post.body.windows(key.len()).position(|window| window == key).expect("an instance");
            post.body[at..at + key.len() + 40].to_vec()
        })
        .collect();
    assert_eq!(instances.len(), 2);
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_sent() {
    let collector = Collector::default();
    // Where exporters go when nobody tells them; another collector may sit there, which is no matter.
    let _ = collector.listen("127.0.0.1:4318").await;
    let stderr = run("plain", &[("OTEL_SERVICE_NAME", "named"), ("OTEL_TRACES_SAMPLER", "always_on")]).await;
    let log = line(&stderr, "call made");
    assert_eq!((&log["exports"], log.get("traceparent"), log.get("trace_id")), (&false.into(), None, None));
    assert!(collector.0.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_disabled_sdk_sends_nothing() {
    let collector = Collector::default();
    let url = collector.listen("127.0.0.1:0").await.expect("listen");
    let stderr = run("plain", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_SDK_DISABLED", "true")]).await;
    assert_eq!(line(&stderr, "call made")["exports"], false);
    assert!(collector.0.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn an_endpoint_of_one_signal_concerns_that_signal_only() {
    for (signal, path) in [("TRACES", "/t"), ("METRICS", "/m")] {
        let collector = Collector::default();
        let url = collector.listen("127.0.0.1:0").await.expect("listen");
        let variable = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        run("plain", &[(&variable, &format!("{url}{path}")), ("OTEL_SERVICE_NAME", "named")]).await;
        let posts = collector.posts(path);
        assert_eq!((posts.len(), collector.0.lock().expect("lock").len()), (1, 1), "{signal}");
        assert!(posts[0].has("named") && !posts[0].has("tidegate-test"), "{signal}: the environment names the service");
    }
}

#[tokio::test]
async fn the_sampler_is_the_environments() {
    let collector = Collector::default();
    let url = collector.listen("127.0.0.1:0").await.expect("listen");
    let stderr = run("plain", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert!(line(&stderr, "call made")["traceparent"].as_str().is_some_and(|text| text.ends_with("-00")), "{stderr}");
    assert_eq!((collector.posts("/v1/traces").len(), collector.posts("/v1/metrics").len()), (0, 1));
}

#[tokio::test]
async fn a_silent_collector_does_not_hold_up_the_end() {
    // Takes connections, as the system does for a listener, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stderr = run("timed", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    let took = Duration::from_millis(line(&stderr, "ended")["duration_ms"].as_u64().expect("a number"));
    assert!(took < tidegate_telemetry::FLUSH_MAX + Duration::from_millis(900), "{took:?}: {stderr}");
    assert!(took > Duration::from_secs(1), "it did not try: {took:?}");
}
