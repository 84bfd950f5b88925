use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Server {
    address: std::net::SocketAddr,
    metrics: Metrics,
    health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, health) = (Metrics::new(), Health::new(Duration::from_mins(1)));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, metrics.clone(), health.clone(), stopped));
        Self { address, metrics, health, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The whole response, as text.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(30), test).await.unwrap() });
}

#[test]
fn metrics_are_served_in_the_open_metrics_format() {
    run(async {
        let server = Server::start().await;
        server.metrics.status_written();
        let page = server.ask("GET", "/metrics", "").await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("content-type: application/openmetrics-text; version=1.0.0"), "{page}");
        assert!(page.contains("\nauroralogexport_status_writes_total 1\n"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    });
}

#[test]
fn probes_tell_what_is_wrong() {
    run(async {
        let server = Server::start().await;
        let lease = server.health.check("lease");
        let answer = server.ask("GET", "/readyz", "").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("[-]lease failed: still starting\n"), "{answer}");
        lease.ok();
        let answer = server.ask("GET", "/readyz", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let answer = server.ask("GET", "/readyz?verbose", "").await;
        assert!(answer.contains("[+]lease ok\nok\n"), "{answer}");
        let answer = server.ask("GET", "/livez?verbose=1", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("[+]heartbeat ok"), "{answer}");
    });
}

#[test]
fn head_is_get_without_a_body_and_other_methods_and_paths_are_rejected() {
    run(async {
        let server = Server::start().await;
        let answer = server.ask("HEAD", "/livez", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("content-length: 3\r\n"), "{answer}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = server.ask(method, "/livez", "").await;
            assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
        }
        for path in ["/", "/metrics/", "/debug/pprof", "//metrics", "/livez%00"] {
            let answer = server.ask("GET", path, "").await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        let answer = server.ask("GET", "/livez", &format!("X: {}\r\n", "x".repeat(1 << 20))).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

/// With every further connection, the oldest is closed.
#[test]
fn held_connections_do_not_keep_a_probe_waiting() {
    run(async {
        let server = Server::start().await;
        let mut held = Vec::new();
        for start in ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"].iter().cycle().take(400) {
            let mut stream = server.connect().await;
            stream.write_all(start.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let answer = timeout(HEADER_TIMEOUT / 2, server.ask("GET", "/livez", "")).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}

#[test]
fn scrapes_in_a_loop_encode_one_page_per_second_and_none_is_older_than_its_request() {
    run(async {
        let server = Server::start().await;
        let counted = |page: &str| {
            let line = page.lines().find(|line| line.starts_with("auroralogexport_status_writes_total "));
            line.and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok()).unwrap()
        };
        let began = std::time::Instant::now();
        for written in 1..=3 {
            server.metrics.status_written();
            let pages = futures::future::join_all((0..20).map(|_| server.ask("GET", "/metrics", ""))).await;
            for page in pages {
                assert_eq!(counted(&page), written);
            }
        }
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    });
}

#[test]
fn a_shutdown_ends_idle_connections_at_once() {
    run(async {
        let server = Server::start().await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut answer = [0; 4];
        idle.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP");
        let started = std::time::Instant::now();
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(started.elapsed() < DRAIN, "{:?}", started.elapsed());
        assert!(TcpStream::connect(server.address).await.is_err());
    });
}

#[test]
fn only_a_node_without_ipv6_gets_ipv4_instead() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let failed = |number| io::Error::from_raw_os_error(number);
    let [no_family, in_use, not_available] =
        [Errno::AFNOSUPPORT, Errno::ADDRINUSE, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    for (given, error, used) in [
        ("[::]:8080", no_family, Some("0.0.0.0:8080")),
        ("[::]:8080", not_available, Some("0.0.0.0:8080")),
        ("[::]:8080", in_use, None),
        ("[::1]:8080", no_family, None),
        ("10.0.0.1:8080", not_available, None),
    ] {
        assert_eq!(ipv4_fallback(address(given), &failed(error)), used.map(address), "{given} {error}");
    }
}

#[tokio::test]
async fn the_default_address_is_reached_by_ipv4() {
    let listener = listen("[::]:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
}
