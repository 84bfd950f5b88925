//! HTTP proxies: as the only way to the API server and to AWS, and what `NO_PROXY` exempts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use aurora_test_support::calls;
use aurora_test_support::connect_proxy::ConnectProxy;
use aurora_test_support::kubeconfig;
use aurora_test_support::ports::free_port;
use aurora_test_support::tls::{Certificate, TlsFront};
use serde_json::json;
use tokio::process::Command;

use crate::fixture::{BINARY, Fixture, LIMIT};

/// Names that only the proxy resolves.
const API_SERVER: &str = "api.cluster.test";
const AWS: &str = "aws.test";
const AWS_URL: &str = "http://aws.test";

/// In a proxy's URL, the password `s3cr@t` is percent-encoded.
const CREDENTIALS: &str = "me:s3cr%40t";
const AUTHORIZATION: &str = "Basic bWU6czNjckB0";

async fn prepare() -> Result<Fixture<'static>> {
    // Everything that any library says, which must not be a password.
    Fixture::with(&["--log-filter=trace,kube_client=trace"]).prepare().await
}

impl Fixture<'_> {
    fn server(&self) -> Result<SocketAddr> {
        let config = kubeconfig::read(self.env.kubeconfig())?;
        let cluster = config.clusters.first().and_then(|named| named.cluster.as_ref());
        let server = cluster.and_then(|cluster| cluster.server.as_deref()).context("no server")?;
        Ok(server.trim_start_matches("https://").parse()?)
    }

    /// The only way to both names.
    async fn proxy(&self, authorization: Option<&str>) -> Result<ConnectProxy> {
        ConnectProxy::start(&[(API_SERVER, self.server()?), (AWS, self.aws.addr())], authorization).await
    }

    /// A copy of a kubeconfig for the API server's unreachable name.
    fn kubeconfig_by_name(&self, of: &Path, proxy_url: Option<&str>) -> Result<PathBuf> {
        let mut config = kubeconfig::read(of)?;
        for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(format!("https://{API_SERVER}"));
            cluster.tls_server_name = Some("127.0.0.1".to_owned());
            cluster.proxy_url = proxy_url.map(str::to_owned);
        }
        let path = self.env.dir().join(format!("{}-{}.kubeconfig", self.namespace(), free_port()?));
        kubeconfig::write(&config, &path)?;
        Ok(path)
    }

    /// Starts the operator with its access to AWS, with a kubeconfig unless the shipped rights serve, and variables.
    async fn start_with(&mut self, kubeconfig: Option<PathBuf>, aws: &str, variables: &[(&str, &str)]) -> Result<()> {
        let mut options = self.own_options().aws_endpoint(aws);
        options.kubeconfig = kubeconfig;
        for (name, value) in variables {
            options = options.env(name, value);
        }
        self.start_operator_with(options).await
    }

    /// The operator works, and the proxy has forwarded requests to the API server only.
    async fn reaches_the_api_server_through(
        &mut self,
        proxy: &ConnectProxy,
        kubeconfig: PathBuf,
        variables: &[(&str, &str)],
    ) -> Result<()> {
        self.start_with(Some(kubeconfig), &self.aws.url(), variables).await?;
        self.applied("orders", json!({})).await?;
        no_secret(&self.operator()?.log_text()?)?;
        self.stop_operator().await?;
        assert_eq!(proxy.forwarded(), [BOTH[0]]);
        Ok(())
    }

    /// Runs a command as administrator.
    async fn command(
        &self,
        arguments: &[&str],
        kubeconfig: &Path,
        aws: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Output> {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .envs(["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| (name, std::env::var(name).unwrap_or_default())))
            .env("HOME", self.env.dir())
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env(calls::APPLICATION_ID, calls::COMMAND_LINE)
            .envs(aws.map(|url| ("AWS_ENDPOINT_URL", url)))
            .env("ALEP_CLUSTER_NAME", self.cluster())
            .env("ALEP_NAMESPACE", self.namespace())
            .envs(variables.iter().copied())
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if std::env::var_os(name).is_none() {
                command.env_remove(name);
            }
        }
        let output = tokio::time::timeout(LIMIT, command.output()).await;
        Ok(output.with_context(|| format!("{arguments:?} is still running after {LIMIT:?}"))??)
    }
}

fn no_secret(text: &str) -> Result<()> {
    for secret in ["s3cr", "czNjc", "bWU6"] {
        ensure!(!text.contains(secret), "a secret in:\n{text}");
    }
    Ok(())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const BOTH: [&str; 2] = ["CONNECT api.cluster.test:443", "POST aws.test:80"];

#[tokio::test]
async fn the_operator_reaches_kubernetes_and_aws_through_the_proxy_of_the_environment() -> Result<()> {
    let mut fixture = prepare().await?;
    let access = fixture.env.install_rbac().await?;
    let kubeconfig = fixture.kubeconfig_by_name(&access.kubeconfig, None)?;
    for (name, [https, http]) in [("upper", ["HTTPS_PROXY", "HTTP_PROXY"]), ("lower", ["https_proxy", "http_proxy"])] {
        let proxy = fixture.proxy(Some(AUTHORIZATION)).await?;
        let url = format!("http://{CREDENTIALS}@{}", proxy.addr());
        let variables = [(https, url.as_str()), (http, url.as_str()), ("NO_PROXY", "other.test,10.0.0.0/8")];
        fixture.start_with(Some(kubeconfig.clone()), AWS_URL, &variables).await?;
        fixture.applied(name, json!({})).await?;
        let log = fixture.operator()?.log_text()?;
        fixture.stop_operator().await?;
        assert_eq!(proxy.forwarded(), BOTH, "{name}");
        ensure!(proxy.seen().iter().all(|request| request.refused.is_none()), "{:?}", proxy.seen());
        ensure!(log.contains(&format!("proxy=http://{}", proxy.addr())), "the proxy is not named:\n{log}");
        no_secret(&log)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_proxy_of_the_kubeconfig_comes_before_every_variable() -> Result<()> {
    let mut fixture = prepare().await?;
    let access = fixture.env.install_rbac().await?;
    let proxy = fixture.proxy(Some(AUTHORIZATION)).await?;
    let url = format!("http://{CREDENTIALS}@{}", proxy.addr());
    let kubeconfig = fixture.kubeconfig_by_name(&access.kubeconfig, Some(&url))?;
    let nowhere = format!("http://127.0.0.1:{}", free_port()?);
    let variables = [("HTTPS_PROXY", nowhere.as_str()), ("NO_PROXY", "*")];
    fixture.reaches_the_api_server_through(&proxy, kubeconfig, &variables).await
}

#[tokio::test]
async fn what_no_proxy_names_is_reached_directly() -> Result<()> {
    let mut fixture = prepare().await?;
    let nowhere = format!("http://127.0.0.1:{}", free_port()?);
    let proxies = [("HTTPS_PROXY", nowhere.as_str()), ("HTTP_PROXY", nowhere.as_str())];
    let with = |name, value| [proxies[0], proxies[1], (name, value)];
    fixture.start_with(None, &fixture.aws.url(), &with("NO_PROXY", "127.0.0.1")).await?;
    fixture.applied("direct", json!({})).await?;
    fixture.stop_operator().await?;

    let ports = format!("{}, {}", fixture.server()?, fixture.aws.addr());
    let other_ports = "127.0.0.1:1";
    for (name, value, direct) in [
        ("NO_PROXY", "127.0.0.0/8,.svc", true),
        ("no_proxy", ports.as_str(), true),
        ("no_proxy", "*", true),
        ("NO_PROXY", other_ports, false),
        ("NO_PROXY", "cluster.test", false),
    ] {
        let variables = with(name, value);
        let aws = fixture.aws.url();
        let output = fixture.command(&["plan", "--all"], fixture.env.kubeconfig(), Some(&aws), &variables).await?;
        let text = text(&output);
        assert_eq!(output.status.success(), direct, "{name}={value}: {text}");
        if !direct {
            ensure!(text.contains(&format!("through the proxy {nowhere}")), "the proxy is not named: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_command_works_through_the_proxy() -> Result<()> {
    let mut fixture = prepare().await?;
    let (api, aws) = (fixture.env.kubeconfig(), fixture.aws.url());
    fixture.start_with(None, &aws, &[]).await?;
    fixture.applied("orders", json!({})).await?;
    fixture.stop_operator().await?;
    let kubeconfig = fixture.kubeconfig_by_name(api, None)?;
    let object = format!("{}/orders", fixture.namespace());
    for arguments in [&["plan", object.as_str()][..], &["explain", &object], &["doctor"], &["import"]] {
        let proxy = fixture.proxy(Some(AUTHORIZATION)).await?;
        let url = format!("http://{CREDENTIALS}@{}", proxy.addr());
        let variables = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str())];
        let output = fixture.command(arguments, &kubeconfig, Some(AWS_URL), &variables).await?;
        let text = text(&output);
        ensure!(arguments[0] == "doctor" || output.status.success(), "{arguments:?}: {text}");
        ensure!(!text.contains("cannot be reached") && !text.contains("could not be reached"), "{arguments:?}: {text}");
        no_secret(&text)?;
        let through = if arguments[0] == "explain" { &BOTH[..1] } else { &BOTH };
        assert_eq!(proxy.forwarded(), through, "{arguments:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() -> Result<()> {
    let fixture = prepare().await?;
    let kubeconfig = fixture.kubeconfig_by_name(fixture.env.kubeconfig(), None)?;
    let proxy = fixture.proxy(Some("Basic other")).await?;
    let url = format!("http://{CREDENTIALS}@{}", proxy.addr());
    let variables = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str())];
    let shown = format!("through the proxy http://{}", proxy.addr());
    for arguments in [&["plan", "--all"][..], &["explain", "x"], &["doctor"]] {
        let output = fixture.command(arguments, &kubeconfig, Some(AWS_URL), &variables).await?;
        let text = text(&output);
        ensure!(!output.status.success() && text.contains(&shown), "{arguments:?}: {text}");
        ensure!(text.contains("proxy authorization required"), "{arguments:?}: {text}");
        no_secret(&text)?;
    }
    ensure!(proxy.seen().iter().all(|request| request.refused == Some(407)), "{:?}", proxy.seen());

    for wrong in ["http://me:s3cr/t@proxy", "ftp://me:s3cr@proxy"] {
        for arguments in [&["plan", "--all"][..], &["doctor"], &["run"]] {
            let output = fixture.command(arguments, &kubeconfig, Some(AWS_URL), &[("HTTPS_PROXY", wrong)]).await?;
            let text = text(&output);
            ensure!(!output.status.success() && text.contains("HTTPS_PROXY is not the URL of a proxy"), "{text}");
            no_secret(&text)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_endpoints_of_aws_and_its_web_identity_are_reached_through_the_proxy() -> Result<()> {
    let fixture = prepare().await?;
    let (api, token) = (fixture.env.kubeconfig(), fixture.env.dir().join(format!("{}.token", fixture.namespace())));
    std::fs::write(&token, "a-token")?;
    let token = token.display().to_string();
    // Without AWS_ENDPOINT_URL, by tunnels: the proxy knows none of AWS's names.
    let proxy = fixture.proxy(Some(AUTHORIZATION)).await?;
    let url = format!("http://{CREDENTIALS}@{}", proxy.addr());
    let variables = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1")];
    let text = text(&fixture.command(&["doctor"], api, None, &variables).await?);
    no_secret(&text)?;
    let seen: Vec<String> = proxy.seen().into_iter().map(|it| format!("{} {}", it.method, it.target)).collect();
    ensure!(seen.iter().all(|it| it.starts_with("CONNECT sts.") && it.ends_with(".amazonaws.com:443")), "{seen:?}");
    ensure!(!seen.is_empty() && proxy.seen().iter().all(|it| it.refused == Some(502)), "{seen:?}: {text}");

    let variables = [
        ("HTTP_PROXY", url.as_str()),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/operator"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
    ];
    fixture.apply("orders", json!({})).await?;
    fixture.command(&["plan", "--all"], api, Some(AWS_URL), &variables).await?;
    let calls = fixture.aws.gate().calls_since(0);
    ensure!(calls.iter().any(|call| call.action == "AssumeRoleWithWebIdentity"), "{calls:?}");
    assert_eq!(proxy.forwarded(), [BOTH[1]]);
    Ok(())
}

/// A name in the certificate that both the API server and the tests' other TLS servers have.
const NAME: &str = "kubernetes.default.svc";

#[tokio::test]
async fn aws_is_reached_by_tls_through_the_tunnel_of_a_proxy() -> Result<()> {
    let mut fixture = prepare().await?;
    let certificate = Certificate::of(fixture.env.control_plane()?);
    let aws = TlsFront::before(fixture.aws.addr(), &certificate).await?;
    let proxy = ConnectProxy::start(&[(NAME, aws.addr())], Some(AUTHORIZATION)).await?;
    let tls_proxy = TlsFront::before(proxy.addr(), &certificate).await?;
    let (url, authorities) = (format!("https://{NAME}"), certificate.certificate.display().to_string());
    // The proxy itself by TCP, and by TLS.
    for proxy_url in [
        format!("http://{CREDENTIALS}@{}", proxy.addr()),
        format!("https://{CREDENTIALS}@127.0.0.1:{}", tls_proxy.addr().port()),
    ] {
        let variables = [
            ("HTTPS_PROXY", proxy_url.as_str()),
            ("NO_PROXY", "127.0.0.1"),
            ("SSL_CERT_FILE", authorities.as_str()),
            ("SSL_CERT_DIR", ""),
        ];
        let scheme = proxy_url.split(':').next().unwrap_or_default();
        fixture.start_with(None, &url, &variables).await?;
        fixture.applied(scheme, json!({})).await?;
        let log = fixture.operator()?.log_text()?;
        fixture.stop_operator().await?;
        no_secret(&log)?;
        let plan = fixture.command(&["plan", "--all"], fixture.env.kubeconfig(), Some(&url), &variables).await?;
        let text = text(&plan);
        ensure!(plan.status.success(), "{scheme}: {text}");
        no_secret(&text)?;
    }
    assert_eq!(proxy.forwarded(), [format!("CONNECT {NAME}:443")]);
    Ok(())
}

#[tokio::test]
async fn the_api_server_is_reached_through_a_proxy_that_speaks_tls() -> Result<()> {
    let mut fixture = prepare().await?;
    let access = fixture.env.install_rbac().await?;
    let proxy = fixture.proxy(Some(AUTHORIZATION)).await?;
    let front = TlsFront::before(proxy.addr(), &Certificate::of(fixture.env.control_plane()?)).await?;
    let url = format!("https://{CREDENTIALS}@127.0.0.1:{}", front.addr().port());
    let kubeconfig = fixture.kubeconfig_by_name(&access.kubeconfig, Some(&url))?;
    fixture.reaches_the_api_server_through(&proxy, kubeconfig, &[]).await
}

#[tokio::test]
async fn a_socks_proxy_for_aws_is_an_error_that_names_the_variable() -> Result<()> {
    let fixture = prepare().await?;
    for (name, url) in
        [("HTTPS_PROXY", "socks5://me:s3cr@127.0.0.1:1"), ("http_proxy", "socks5h://me:s3cr@127.0.0.1:1")]
    {
        let variables = [(name, url), ("NO_PROXY", "127.0.0.1")];
        for arguments in
            [&["plan", "--all"][..], &["import"], &["run", "--http-addr=127.0.0.1:0", "--leader-elect=false"]]
        {
            let output = fixture.command(arguments, fixture.env.kubeconfig(), Some(AWS_URL), &variables).await?;
            let text = text(&output);
            let expected = format!("{name}=socks5://127.0.0.1:1 is a SOCKS proxy");
            ensure!(!output.status.success() && text.contains(&expected), "{arguments:?}: {text}");
            no_secret(&text)?;
        }
    }
    Ok(())
}
