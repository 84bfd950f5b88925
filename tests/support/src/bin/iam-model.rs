//! Serves the IAM model by itself: prints its address and runs until its standard input ends.
//!
//! `iam-model [--port N] [--threads N] [--log-capacity N] [--page-cap N] [--unlimited] [--any-key ACCOUNT]
//! [--account ID=KEY[,KEY…]]…`; control over HTTP as `iam_model::http::control` says.

use anyhow::{Context, bail};
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::iam_model::{Quotas, Settings};
use std::io::Read;

fn main() -> anyhow::Result<()> {
    let mut options = ServerOptions::default();
    let mut accounts = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        if flag == "--unlimited" {
            options.defaults.quotas = Quotas::without_entity_limits();
            continue;
        }
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<usize>().with_context(|| format!("{flag} needs a number, not {value}"));
        match flag.as_str() {
            "--port" => options.port = u16::try_from(number()?).context("--port goes up to 65535")?,
            "--threads" => options.threads = number()?,
            "--log-capacity" => options.log_capacity = number()?,
            "--page-cap" => options.defaults.settings = Settings { page_cap: Some(number()?), ..Settings::default() },
            "--any-key" => options.defaults.account_of_unknown_keys = Some(value),
            "--account" => accounts.push(value),
            _ => bail!("there is no flag {flag}; the module comment of iam-model.rs lists them"),
        }
    }
    let server = Server::start(options)?;
    for account in accounts {
        let (id, keys) = account.split_once('=').with_context(|| format!("--account is ID=KEY, not {account}"))?;
        keys.split(',').for_each(|key| server.world().add_key(key, id));
    }
    println!("{}", server.url());
    // The parent's end of the pipe closes when the parent dies, however it dies.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
