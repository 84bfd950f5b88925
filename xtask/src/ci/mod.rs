//! `cargo xtask ci`: the checks that need more than cargo.

mod argocd;
mod kstatus;

use anyhow::Result;

/// Runs the checks that need more than cargo.
#[derive(Debug, clap::Args)]
pub(crate) struct Ci {
    /// Only this step.
    #[arg(long)]
    only: Option<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    Argocd,
    Kstatus,
}

impl Ci {
    pub(crate) async fn run(self) -> Result<()> {
        let wanted = |step| self.only.is_none_or(|only| only == step);
        if wanted(Step::Kstatus) {
            kstatus::check().await?;
        }
        if wanted(Step::Argocd) {
            argocd::check().await?;
        }
        Ok(())
    }
}
