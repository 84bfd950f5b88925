//! moto, the emulator of IAM, STS and RDS.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::aws_query::{QueryClient, Service, text};
use crate::ports::free_port;
use crate::supervisor::{self, Supervised};
use crate::tools;
use crate::wait::wait_for;

const START_LIMIT: Duration = Duration::from_mins(1);

/// The access key of every client here; moto gives it the account [`ACCOUNT`].
pub const ACCESS_KEY: &str = "test";

/// The account that moto starts with.
pub const ACCOUNT: &str = "123456789012";

/// A running moto. Dropping it kills it.
#[derive(Debug)]
pub struct Moto {
    address: String,
    _server: Supervised,
}

impl Moto {
    /// Starts it with its log in `dir` and waits until it answers.
    pub async fn start(dir: &Path) -> Result<Self> {
        let python = tools::moto().await?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = supervisor::command(python);
        // A clean environment: with the proxy variables of some machines moto's own look-ups go astray. The AWS-managed
        // policies (CloudWatchLogsFullAccess) exist on demand only.
        command.env_clear().env("HOME", dir).env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true").current_dir(dir).args([
            "-c",
            "import sys; from moto.server import main; main(sys.argv[1:])",
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ]);
        let mut server = Supervised::spawn("moto", command, &dir.join("moto.log"))?;
        let client = QueryClient::new(&address, ACCESS_KEY);
        wait_for("moto", START_LIMIT, async || {
            server.check_alive()?;
            client.call(Service::Sts, "GetCallerIdentity", &[]).await
        })
        .await?;
        // Reading the AWS-managed policies takes seconds and happens on the first call for IAM: before any test's.
        client.call(Service::Iam, "ListRoles", &[]).await?;
        Ok(Self { address, _server: server })
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client for [`ACCOUNT`].
    pub fn client(&self) -> QueryClient {
        QueryClient::new(&self.address, ACCESS_KEY)
    }

    /// The account that moto takes the client for.
    pub async fn account(&self) -> Result<String> {
        let identity = self.client().call(Service::Sts, "GetCallerIdentity", &[]).await?;
        text(&identity, "Account").context("GetCallerIdentity: no account in the answer")
    }
}
