//! The address that the manifests ship with, on nodes with both kinds of addresses, without IPv6, and where an IPv6 socket
//! excludes IPv4.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use aurora_test_support::http;
use aurora_test_support::paths::workspace;
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised};
use aurora_test_support::wait::wait_for;

use crate::environment;
use crate::fixture::{BINARY, LIMIT};

/// In place of libc's `socket`: a kernel without IPv6, and one with `net.ipv6.bindv6only=1`.
const OTHER_NODES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol) {
    int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    const char *node = getenv("TEST_NODE");
    if (domain != AF_INET6 || node == NULL) return real(domain, type, protocol);
    if (strcmp(node, "ipv4-only") == 0) { errno = EAFNOSUPPORT; return -1; }
    int result = real(domain, type, protocol), on = 1;
    if (result >= 0) setsockopt(result, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return result;
}
"#;

/// Builds the replacement; returns its path.
fn other_nodes(dir: &Path) -> Result<PathBuf> {
    let (source, library) = (dir.join("other-nodes.c"), dir.join("other-nodes.so"));
    std::fs::write(&source, OTHER_NODES)?;
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    ensure!(built.context("cannot run cc: install a C compiler")?.success(), "{} cannot be built", source.display());
    Ok(library)
}

/// The flag of the shipped Deployment, with another port.
fn shipped_flag(port: u16) -> Result<String> {
    let text = std::fs::read_to_string(workspace().join("deploy/kustomize/base/deployment.yaml"))?;
    let flag = text.lines().find_map(|line| line.trim().strip_prefix("- ").filter(|it| it.starts_with("--http-addr=")));
    let (address, _) = flag.and_then(|flag| flag.rsplit_once(':')).context("the Deployment has no --http-addr")?;
    Ok(format!("{address}:{port}"))
}

#[tokio::test]
async fn the_shipped_address_serves_ipv4_on_every_kind_of_node() -> Result<()> {
    let env = environment().await?;
    let library = other_nodes(env.dir())?;
    // A machine without IPv6 is one kind of node itself.
    let has_ipv6 = std::net::TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).is_ok();
    for (node, serves_ipv6, logged) in
        [("dual", has_ipv6, !has_ipv6), ("ipv4-only", false, true), ("bindv6only", has_ipv6, !has_ipv6)]
    {
        let port = free_port()?;
        let mut command = supervisor::command(BINARY);
        command.env_clear().env("KUBECONFIG", env.kubeconfig()).env("AWS_EC2_METADATA_DISABLED", "true");
        if node != "dual" {
            command.env("LD_PRELOAD", &library).env("TEST_NODE", node);
        }
        command.args(["run", "--leader-elect=false", "--watch-namespace=default", "--cluster-name=addresses"]);
        command.arg(shipped_flag(port)?);
        let log = env.dir().join(format!("addresses-{node}.log"));
        let mut operator = Supervised::spawn("the operator", command, &log)?;
        wait_for(&format!("/livez by IPv4 ({node})"), LIMIT, async || {
            operator.check_alive()?;
            http::get(&format!("127.0.0.1:{port}"), "/livez").await?.ok()
        })
        .await?;
        let by_ipv6 = http::get(&format!("[::1]:{port}"), "/livez").await;
        assert_eq!(by_ipv6.is_ok(), serves_ipv6, "{node}: {by_ipv6:?}");
        let text = std::fs::read_to_string(&log)?;
        assert_eq!(text.contains("this node has no IPv6"), logged, "{node}: {text}");
        operator.kill()?;
    }
    Ok(())
}
