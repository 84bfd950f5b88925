//! STS: the caller identity, and sessions in other accounts.

use super::super::action::Action;
use super::super::call_log::now_ms;
use super::super::error::ApiError;
use super::super::time::iso8601;
use super::request::Query;
use super::service::Caller;
use super::world::{Credential, KeyState, World};
use super::xml::Xml;

/// Executes an STS operation and returns the content of its `…Result` element.
pub(super) fn execute(world: &World, action: Action, query: &Query, caller: Caller) -> Result<String, ApiError> {
    let mut xml = Xml::default();
    if action == Action::AssumeRoleWithWebIdentity {
        if query.params.required("WebIdentityToken")?.is_empty() {
            return Err(ApiError::new("InvalidIdentityToken", 400, "No token was sent."));
        }
        assume_role(world, query, &mut xml)?;
        xml.plain("SubjectFromWebIdentityToken", "system:serviceaccount");
        return Ok(xml.into_string());
    }
    let caller = caller?;
    if action == Action::AssumeRole {
        let (arn, external_id) = (query.params.required("RoleArn")?, query.params.get("ExternalId"));
        if !world.may_assume(arn, external_id) {
            return Err(ApiError::access_denied(format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
                caller.arn
            )));
        }
        assume_role(world, query, &mut xml)?;
    } else {
        xml.text("Arn", &caller.arn);
        xml.plain("UserId", &caller.user_id);
        xml.plain("Account", &caller.account);
    }
    Ok(xml.into_string())
}

fn assume_role(world: &World, query: &Query, xml: &mut Xml) -> Result<(), ApiError> {
    let arn = query.params.required("RoleArn")?;
    let session = query.params.required("RoleSessionName")?;
    let seconds: u64 = query.params.number("DurationSeconds")?.unwrap_or(3600);
    let session_ok = (2..=64).contains(&session.len())
        && session.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c));
    if !session_ok || !(900..=43_200).contains(&seconds) {
        return Err(ApiError::validation(format!(
            "1 validation error detected: '{session}' for {seconds} seconds is not a valid session"
        )));
    }
    let (partition, account, role) = role_arn(arn).ok_or_else(|| ApiError::validation(format!("{arn} is invalid")))?;
    // Roles of any account can be assumed, as in moto. The world decides which roles are closed.
    world.account_in(account, partition);
    let expires_ms = now_ms() + world.session_seconds().unwrap_or(seconds) * 1000;
    let access_key = world.random_id("ASIA", 16);
    let role_id = world.random_id("AROA", 17);
    let credential = Credential {
        account: account.to_owned(),
        arn: format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}"),
        user_id: format!("{role_id}:{session}"),
        state: KeyState::Active,
        expires_ms: Some(expires_ms),
    };
    xml.element("Credentials", |xml| {
        xml.plain("AccessKeyId", &access_key);
        xml.plain("SecretAccessKey", &world.random_id("", 40));
        xml.plain("SessionToken", &world.random_id("", 120));
        xml.plain("Expiration", &iso8601(expires_ms));
    });
    xml.element("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", &credential.user_id);
        xml.text("Arn", &credential.arn);
    });
    world.set_credential(&access_key, credential);
    Ok(())
}

/// Partition, account and name of `arn:{partition}:iam::{account}:role/{path}{name}`.
fn role_arn(arn: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource]
            if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            let name = resource.strip_prefix("role/")?.rsplit('/').next()?;
            (!name.is_empty()).then_some((partition, account, name))
        }
        _ => None,
    }
}
