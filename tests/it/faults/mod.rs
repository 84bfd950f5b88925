//! Nothing is lost or done twice when something fails: AWS, the network, credentials, the API server, or the operator
//! itself, against the real API server and the IAM model.

mod absence;
mod apiserver;
mod apiserver_answers;
mod classes;
mod credentials;
mod denied;
mod events;
mod isolation;
mod leader;
mod restored;
mod soak;

use anyhow::Result;
use aurora_test_support::apiserver_proxy::ApiserverProxy;
use aurora_test_support::kubeconfig;
use aurora_test_support::link::Link;
use aurora_test_support::operator::OperatorOptions;

use crate::fixture::Fixture;

impl Fixture<'_> {
    /// Starts the operator behind a network link to the API server that can be cut.
    async fn start_behind_link(&mut self) -> Result<Link> {
        let link = self.link().await?;
        let options = self.through_link(self.own_options(), &link).await?;
        self.start_operator_with(options).await?;
        Ok(link)
    }

    /// A network link to the API server.
    async fn link(&self) -> Result<Link> {
        let access = self.env.install_rbac().await?;
        Link::to(kubeconfig::server_address(&access.kubeconfig)?).await
    }

    /// Options of an operator that connects through the link.
    async fn through_link(&self, options: OperatorOptions, link: &Link) -> Result<OperatorOptions> {
        self.connecting_to(options, &format!("https://{}", link.addr())).await
    }

    /// Starts the operator behind a proxy that breaks requests to the API server by rule.
    pub(crate) async fn start_behind_proxy(&mut self) -> Result<ApiserverProxy> {
        let access = self.env.install_rbac().await?;
        let proxy = ApiserverProxy::before(&access.kubeconfig).await?;
        let options = self.connecting_to(self.own_options(), &proxy.url()).await?;
        self.start_operator_with(options).await?;
        Ok(proxy)
    }

    async fn connecting_to(&self, options: OperatorOptions, server: &str) -> Result<OperatorOptions> {
        let access = self.env.install_rbac().await?;
        let port = server.rsplit(':').next().unwrap_or_default();
        let copy = self.env.dir().join(format!("{}-{port}.kubeconfig", self.namespace()));
        let kubeconfig = Some(kubeconfig::redirect(&access.kubeconfig, server, copy)?);
        Ok(OperatorOptions { kubeconfig, ..options })
    }
}
