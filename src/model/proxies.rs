//! HTTP proxies, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name them. kubectl and the AWS CLI read the same variables.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery};
use ipnet::IpNet;

/// The addresses of services on the node itself, such as AWS's credential endpoints. A proxy cannot forward to them, and
/// must not see the tokens that they are sent.
const LINK_LOCAL: [&str; 3] = ["169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];

/// Why a proxy cannot be used. The messages never contain the URL: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Not a proxy's URL.
    #[error("{0} is not the URL of a proxy: write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")]
    Url(String),
    /// A SOCKS proxy where only HTTP proxies are supported.
    #[error(
        "{source_name}={proxy} is a SOCKS proxy, which is supported only for the Kubernetes API server, as proxy-url in the \
         kubeconfig: use an http:// proxy for AWS and traces"
    )]
    Socks {
        /// The variable that names it.
        source_name: String,
        /// The proxy, without its credentials.
        proxy: String,
    },
}

/// The URL of a proxy. It is shown without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Uri,
    /// The variable or field that names it.
    source: String,
}

impl Proxy {
    /// Parses a URL; without a scheme, `http://` is assumed. `source` names the variable or field in errors.
    ///
    /// # Errors
    /// If it is not an `http`, `https` or `socks5` URL with a host.
    pub fn parse(source: &str, value: &str) -> Result<Self, ProxyError> {
        let value = value.trim();
        let url = match value.split_once("://") {
            // kube resolves names at the proxy in both cases.
            Some(("socks5h", rest)) => format!("socks5://{rest}"),
            Some(_) => value.to_owned(),
            None => format!("http://{value}"),
        };
        // A slash in a password would end the authority.
        let supported = |url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https" | "socks5"))
                && url.authority().is_some_and(has_host_and_valid_port)
                && matches!(url.path_and_query().map_or("/", PathAndQuery::as_str), "" | "/")
        };
        let url = url.parse().ok().filter(supported);
        let url = url.ok_or_else(|| ProxyError::Url(source.to_owned()))?;
        Ok(Self { url, source: source.to_owned() })
    }

    /// The whole URL, with credentials: for clients, not for messages.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// The whole URL for a client that supports HTTP proxies only.
    ///
    /// # Errors
    /// If it is a SOCKS proxy.
    pub fn http_url(&self) -> Result<&Uri, ProxyError> {
        if self.url.scheme_str() == Some("socks5") {
            return Err(ProxyError::Socks { source_name: self.source.clone(), proxy: self.to_string() });
        }
        Ok(&self.url)
    }
}

fn has_host_and_valid_port(authority: &Authority) -> bool {
    let (_, host) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    let port = host.rsplit_once(']').map_or(host, |(_, port)| port).contains(':');
    !authority.host().is_empty() && (!port || authority.port_u16().is_some())
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme_str().unwrap_or_default(), self.url.host().unwrap_or_default())?;
        self.url.port_u16().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Which requests go through which proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Exception>,
}

impl Proxies {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a variable does not hold the URL of a proxy.
    pub fn from_env() -> Result<Self, ProxyError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables. The upper-case name takes precedence over the lower-case one; empty means unset.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.trim().is_empty())?)))
        };
        let proxy = |names| first(names).map(|(name, value)| Proxy::parse(name, &value)).transpose();
        let (_, direct) = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        let entries = direct.split(',').chain(LINK_LOCAL).map(str::trim).filter(|entry| !entry.is_empty());
        Ok(Self {
            http: proxy(["HTTP_PROXY", "http_proxy"])?,
            https: proxy(["HTTPS_PROXY", "https_proxy"])?,
            direct: entries.map(Exception::parse).collect(),
        })
    }

    /// The proxy for a request to this URL; `None`: no proxy.
    pub fn of(&self, url: &Uri) -> Option<&Proxy> {
        let (proxy, default_port) = match url.scheme_str()? {
            "https" => (self.https.as_ref()?, 443),
            "http" => (self.http.as_ref()?, 80),
            _ => return None,
        };
        let host = url.host()?.trim_start_matches('[').trim_end_matches(['.', ']']).to_ascii_lowercase();
        let port = url.port_u16().unwrap_or(default_port);
        let direct = self.direct.iter().any(|exception| exception.matches(&host, port));
        (!direct).then_some(proxy)
    }

    /// The proxies, each once.
    pub fn all(&self) -> impl Iterator<Item = &Proxy> {
        let http = self.http.iter().filter(|http| self.https.as_ref().is_none_or(|https| https.url != http.url));
        self.https.iter().chain(http)
    }
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    /// An address or a CIDR.
    Network(IpNet, Option<u16>),
    /// The subdomains of a domain, and the domain itself unless the entry begins with a dot.
    Domain {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Self::Everything;
        }
        if let Some(network) = network(entry) {
            return Self::Network(network, None);
        }
        let (host, port) = match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (entry, None),
        };
        if let Some(network) = network(host.trim_start_matches('[').trim_end_matches(']')) {
            return Self::Network(network, port);
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let name = host.strip_prefix('.').unwrap_or(host).to_ascii_lowercase();
        Self::Domain { name, itself: !host.starts_with('.'), port }
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let is_port = |only: &Option<u16>| only.is_none_or(|only| only == port);
        match self {
            Self::Everything => true,
            Self::Network(network, only) => {
                is_port(only) && host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
            Self::Domain { name, itself, port: only } => {
                let before = host.strip_suffix(name.as_str());
                is_port(only) && before.is_some_and(|before| before.ends_with('.') || *itself && before.is_empty())
            }
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::read(get).unwrap()
    }

    fn shown(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn the_scheme_of_the_url_decides_and_upper_case_takes_precedence() {
        let both =
            proxies(&[("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "plain:2"), ("https_proxy", "lower:3")]);
        assert_eq!(shown(&both, "https://x"), Some("http://secure:1".into()));
        assert_eq!(shown(&both, "http://x"), Some("http://plain:2".into()));
        assert_eq!(both.all().count(), 2);
        let lower = proxies(&[("HTTPS_PROXY", " "), ("https_proxy", "https://lower")]);
        assert_eq!(shown(&lower, "https://x"), Some("https://lower".into()));
        assert_eq!(shown(&lower, "http://x"), None);
        let same = proxies(&[("HTTPS_PROXY", "p:1"), ("HTTP_PROXY", "http://p:1")]);
        assert_eq!(same.all().count(), 1);
        assert_eq!(shown(&proxies(&[]), "https://x"), None);
    }

    #[test]
    fn no_proxy_takes_names_suffixes_networks_and_ports() {
        for (list, url, direct) in [
            ("*", "https://anything", true),
            ("example.org", "https://example.org", true),
            ("example.org", "https://API.Example.org.:6443", true),
            ("example.org", "https://notexample.org", false),
            (".example.org", "https://api.example.org", true),
            (".example.org", "https://example.org", false),
            ("*.example.org", "https://api.example.org", true),
            ("example.org:6443", "https://example.org:6443", true),
            ("example.org:6443", "https://example.org", false),
            ("example.org:443", "https://example.org", true),
            (".example.org:443", "https://a.example.org:8443", false),
            ("10.0.0.1", "https://10.0.0.1:6443", true),
            ("10.0.0.1:6443", "https://10.0.0.1:6443", true),
            ("10.0.0.1:6443", "https://10.0.0.1", false),
            ("10.96.0.0/12", "https://10.96.0.1", true),
            ("10.96.0.0/12", "https://10.112.0.1", false),
            ("10.96.0.0/12", "https://ten.example", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::2]", false),
            (" a.test , ,b.test,", "https://b.test", true),
            ("a.test", "https://127.0.0.1", false),
            ("", "http://169.254.170.23/v1/credentials", true),
            ("", "http://[fd00:ec2::23]/v1/credentials", true),
        ] {
            let proxies = proxies(&[("HTTPS_PROXY", "p:1"), ("HTTP_PROXY", "p:1"), ("no_proxy", list)]);
            assert_eq!(shown(&proxies, url).is_none(), direct, "{list:?} {url}");
        }
    }

    #[test]
    fn credentials_reach_the_client_and_no_message() {
        let secret = proxies(&[("HTTPS_PROXY", "http://me:s%40cret@proxy:3128")]);
        let proxy = secret.of(&"https://x".parse().unwrap()).unwrap();
        assert_eq!(proxy.url().authority().unwrap(), "me:s%40cret@proxy:3128");
        let messages = format!("{proxy} {proxy:?} {secret:?}");
        assert!(messages.contains("http://proxy:3128") && !messages.contains("s%40cret"), "{messages}");
        for wrong in [
            "http://me:s3cret/@proxy",
            "ftp://me:s3cret@proxy",
            "http://",
            "/me:s3cret@",
            "http://me:s3cret@",
            "http://p:s3cret",
        ] {
            let error = Proxy::parse("HTTPS_PROXY", wrong).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY is not the URL of a proxy") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_socks_proxy_is_for_kubernetes_only() {
        let proxy = Proxy::parse("HTTPS_PROXY", "socks5h://me:s3cret@proxy:1080").unwrap();
        assert_eq!(proxy.to_string(), "socks5://proxy:1080");
        let error = proxy.http_url().unwrap_err().to_string();
        assert!(
            error.starts_with("HTTPS_PROXY=socks5://proxy:1080 is a SOCKS proxy") && !error.contains("s3cret"),
            "{error}"
        );
    }
}
