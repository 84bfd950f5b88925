use super::{ACCOUNT, DOCUMENT, KEY, TRUST, call, call_as, element, server};
use percent_encoding::percent_decode_str;

const LOGS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";

#[tokio::test]
async fn a_role_is_returned_as_it_was_created() -> anyhow::Result<()> {
    let server = server()?;
    let (status, body) = call(
        server.addr(),
        "CreateRole",
        &[
            ("RoleName", "r"),
            ("Path", "/x/"),
            ("AssumeRolePolicyDocument", TRUST),
            ("Description", "a <b> & \"c\""),
            ("Tags.member.1.Key", "k"),
            ("Tags.member.1.Value", "v+w x"),
        ],
    )
    .await?;
    assert_eq!(status, 200, "{body}");
    let start = "<CreateRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><CreateRoleResult><Role>";
    assert!(body.starts_with(start), "{body}");
    let (status, body) = call(server.addr(), "GetRole", &[("RoleName", "r")]).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(element(&body, "Arn")?, "arn:aws:iam::111122223333:role/x/r");
    assert_eq!(element(&body, "Description")?, "a &lt;b&gt; &amp; &quot;c&quot;");
    assert_eq!(element(&body, "Tags")?, "<member><Key>k</Key><Value>v+w x</Value></member>");
    assert_eq!(element(&body, "MaxSessionDuration")?, "3600");
    let trust = element(&body, "AssumeRolePolicyDocument")?;
    assert!(trust.starts_with("%7B%22"), "{trust}");
    assert_eq!(percent_decode_str(trust).decode_utf8()?, TRUST);
    let created = element(&body, "CreateDate")?;
    assert!(created.len() == 20 && created.starts_with("20") && created.ends_with('Z'), "{created}");
    assert_eq!(element(&body, "RequestId")?.len(), 36);
    Ok(())
}

#[tokio::test]
async fn errors_have_code_status_and_message() -> anyhow::Result<()> {
    let server = server()?;
    let (status, body) = call(server.addr(), "GetRole", &[("RoleName", "none")]).await?;
    assert_eq!((status, element(&body, "Code")?), (404, "NoSuchEntity"));
    assert_eq!(element(&body, "Message")?, "The role with name none cannot be found.");
    assert_eq!(element(&body, "Type")?, "Sender");
    let (status, body) = call(server.addr(), "GetRole", &[]).await?;
    assert_eq!((status, element(&body, "Code")?), (400, "ValidationError"));
    let (status, body) = call(server.addr(), "SimulateCustomPolicy", &[]).await?;
    assert_eq!((status, element(&body, "Code")?), (400, "InvalidAction"));
    Ok(())
}

#[tokio::test]
async fn keys_choose_the_account_and_may_fail() -> anyhow::Result<()> {
    let server = server()?;
    let addr = server.addr();
    server.world().add_key("AKIATESTTWO", "444455556666");
    let (_, body) = call_as(addr, Some("AKIATESTTWO"), "GetCallerIdentity", &[]).await?;
    assert_eq!(element(&body, "Account")?, "444455556666");
    let (_, body) = call(addr, "GetCallerIdentity", &[]).await?;
    assert_eq!(element(&body, "Arn")?, "arn:aws:iam::111122223333:user/operator");
    let (status, body) = call_as(addr, Some("AKIAUNKNOWN"), "ListRoles", &[]).await?;
    assert_eq!((status, element(&body, "Code")?), (403, "InvalidClientTokenId"));
    let (status, body) = call_as(addr, None, "ListRoles", &[]).await?;
    assert_eq!((status, element(&body, "Code")?), (403, "MissingAuthenticationToken"));
    server.world().set_key_state(KEY, super::super::KeyState::Expired);
    let (status, body) = call(addr, "ListRoles", &[]).await?;
    assert_eq!((status, element(&body, "Code")?), (403, "ExpiredToken"));
    Ok(())
}

#[tokio::test]
async fn a_session_acts_in_the_account_of_its_role() -> anyhow::Result<()> {
    let server = server()?;
    let addr = server.addr();
    let arn = "arn:aws-cn:iam::777788889999:role/path/reader";
    let assume = [("RoleArn", arn), ("RoleSessionName", "session"), ("DurationSeconds", "900")];
    server.world().require_external_id(arn, Some("secret-word"));
    let (status, body) = call(addr, "AssumeRole", &assume).await?;
    assert_eq!((status, element(&body, "Code")?), (403, "AccessDenied"));
    let with_id = [assume.as_slice(), &[("ExternalId", "secret-word")]].concat();
    let (status, body) = call(addr, "AssumeRole", &with_id).await?;
    assert_eq!(status, 200, "{body}");
    let session_arn = "arn:aws-cn:sts::777788889999:assumed-role/reader/session";
    assert_eq!(element(element(&body, "AssumedRoleUser")?, "Arn")?, session_arn);
    let key = element(&body, "AccessKeyId")?.to_owned();
    let (_, body) = call_as(addr, Some(&key), "GetCallerIdentity", &[]).await?;
    assert_eq!((element(&body, "Account")?, element(&body, "Arn")?), ("777788889999", session_arn));
    server.world().expire_sessions();
    let (_, body) = call_as(addr, Some(&key), "GetCallerIdentity", &[]).await?;
    assert_eq!(element(&body, "Code")?, "ExpiredToken");
    Ok(())
}

#[tokio::test]
async fn the_account_is_swept_in_pages() -> anyhow::Result<()> {
    let server = server()?;
    let addr = server.addr();
    for name in ["a", "b", "c"] {
        call(addr, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", TRUST)]).await?;
        call(addr, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", DOCUMENT)]).await?;
        call(addr, "AttachRolePolicy", &[("RoleName", name), ("PolicyArn", LOGS)]).await?;
    }
    let filter = [("Filter.member.1", "Role"), ("Filter.member.2", "LocalManagedPolicy"), ("MaxItems", "4")];
    let (status, first) = call(addr, "GetAccountAuthorizationDetails", &filter).await?;
    assert_eq!((status, element(&first, "IsTruncated")?), (200, "true"), "{first}");
    let marker = element(&first, "Marker")?;
    let next = [filter.as_slice(), &[("Marker", marker)]].concat();
    let (_, second) = call(addr, "GetAccountAuthorizationDetails", &next).await?;
    assert_eq!(element(&second, "IsTruncated")?, "false");
    assert_eq!((first.matches("<RoleName>").count(), second.matches("<RoleName>").count()), (3, 0));
    assert_eq!((first.matches("<PolicyId>").count(), second.matches("<PolicyId>").count()), (1, 2));
    let attached = "<AttachedManagedPolicies><member><PolicyName>CloudWatchLogsFullAccess</PolicyName><PolicyArn>";
    assert_eq!(first.matches(attached).count(), 3);
    let document = element(&second, "Document")?;
    assert_eq!(percent_decode_str(document).decode_utf8()?, DOCUMENT);
    Ok(())
}

#[tokio::test]
async fn tests_see_and_change_the_account_directly() -> anyhow::Result<()> {
    let server = server()?;
    call(server.addr(), "CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)]).await?;
    let account = server.world().account(ACCOUNT);
    account.lock().attach_role_policy("r", LOGS)?;
    let (_, body) = call(server.addr(), "ListAttachedRolePolicies", &[("RoleName", "r")]).await?;
    assert_eq!(element(&body, "PolicyArn")?, LOGS);
    let (_, body) = call(server.addr(), "GetAccountSummary", &[]).await?;
    assert!(body.contains("<entry><key>Roles</key><value>1</value></entry>"), "{body}");
    Ok(())
}
