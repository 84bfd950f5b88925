//! From what a run of the tests asked AWS for to cases for the simulator: each call under the policy that `deploy/aws`
//! documents for the settings that its test declared. A call that fits no category is an error, and none is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::recording::{Call, Recording, Run};

const WITH: &str = "operator-policy";
const WITHOUT: &str = "operator-policy-without-boundary";
const ADOPTION: &str = "operator-policy-adoption";
const EXCLUSIVE: &str = "operator-policy-exclusive";
/// What `operator-policy.json` allows behind the boundary only.
const BEHIND_THE_BOUNDARY: [&str; 4] =
    ["iam:CreateRole", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:PutRolePermissionsBoundary"];
/// The account of every case, whatever it was in the run.
const ACCOUNT: &str = "111111111111";
const COMMAND_LINE: &str = aurora_test_support::calls::COMMAND_LINE;

/// Why a call is judged as it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Category {
    Account,
    Read,
    Bounded,
    Unbounded,
    Rebounded,
    OwnPath,
    Gone,
    OtherRole,
    CommandLine,
}

impl Category {
    fn about(self) -> &'static str {
        match self {
            Self::Account => "caller identity, sessions, sweeps: allowed by both variants",
            Self::Read => "reads of roles, and of policies below the path: allowed by both variants",
            Self::Bounded => "writes where one boundary is demanded throughout: allowed by operator-policy.json",
            Self::Unbounded => {
                "writes where no boundary is: allowed by operator-policy-without-boundary.json, and with the boundary that \
                 an account would add by operator-policy.json"
            }
            Self::Rebounded => "writes where the boundary is changed: the same; to take it off needs the former",
            Self::OwnPath => {
                "paths of an object's own outside of the operator's: denied, and allowed to who is given that path"
            }
            Self::Gone => "writes to resources that others had just deleted: denied, instead of answered NoSuchEntity",
            Self::OtherRole => "a role of another name than the one to assume: denied",
            Self::CommandLine => "commands run by a person, with that person's rights: reads, each of them",
        }
    }
}

/// What a test declared where the call was made.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Declared {
    iam_path: String,
    /// The object's own, where it has one.
    own_paths: Vec<String>,
    boundary: Option<String>,
    adoption: bool,
    /// `attachmentPolicy: Exclusive`
    exclusive: bool,
}

/// Cases, and how many different requests of how many tests are behind each category.
pub(super) struct Cases {
    pub(super) cases: Vec<Value>,
    pub(super) summary: Vec<String>,
}

/// What the recording comes to.
pub(super) fn of(recording: &Recording) -> Result<Cases> {
    let mut cases: BTreeMap<String, Value> = BTreeMap::new();
    let mut counts: BTreeMap<Category, (usize, BTreeSet<String>, BTreeSet<&str>)> = BTreeMap::new();
    let mut unclassified = Vec::new();
    for call in &recording.calls {
        let (category, made, test) = match classify(recording, call) {
            Ok(classified) => classified,
            Err(why) => {
                unclassified.push(format!("{why}: {call:?}"));
                continue;
            }
        };
        let (count, shapes, tests) = counts.entry(category).or_default();
        *count += 1;
        tests.insert(test);
        for case in made {
            let shape = case.to_string();
            shapes.insert(shape.clone());
            cases.entry(shape).or_insert(case)["test"] = json!(test);
        }
    }
    let shown = unclassified.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    ensure!(unclassified.is_empty(), "{} calls fit no category:\n{shown}", unclassified.len());
    let summary = counts.into_iter().map(|(category, (count, shapes, tests))| {
        format!("{count:6} requests of {:3} tests, {:4} cases: {}", tests.len(), shapes.len(), category.about())
    });
    Ok(Cases { cases: cases.into_values().collect(), summary: summary.collect() })
}

type Classified<'a> = (Category, Vec<Value>, &'a str);

fn classify<'a>(recording: &'a Recording, call: &Call) -> Result<Classified<'a>, String> {
    if call.run == COMMAND_LINE {
        let read = !call.is_write();
        return if read {
            Ok((Category::CommandLine, Vec::new(), COMMAND_LINE))
        } else {
            Err("a command writes".into())
        };
    }
    let run = recording.runs.get(&call.run).ok_or("not made by an operator of a test")?;
    let test = run.test.as_str();
    let both = |category, setting: &Setting<'_>| {
        (category, vec![setting.case(&[WITH], true), setting.case(&[WITHOUT], true)], test)
    };
    if call.action.starts_with("sts:Assume") || call.action == "sts:TagSession" {
        let usual = call.resource.ends_with(":role/aurora-log-export-operator-member");
        let setting = Setting::of(run, call, "");
        return Ok(if usual {
            both(Category::Account, &setting)
        } else {
            (Category::OtherRole, vec![setting.case(&[WITH], false), setting.case(&[WITHOUT], false)], test)
        });
    }
    if call.resource == "*" {
        return Ok(both(Category::Account, &Setting::of(run, call, "")));
    }
    if !call.is_write() && call.resource.contains(":role/") {
        return Ok(both(Category::Read, &Setting::of(run, call, "")));
    }
    let declared = declared(recording, run, call);
    let path = |it: &Declared| below(&call.resource, &it.iam_path);
    if !call.is_write() && (below(&call.resource, run.iam_path()) || declared.iter().any(path)) {
        let found = declared.iter().find(|it| path(it)).map_or(run.iam_path(), |it| &it.iam_path);
        return Ok(both(Category::Read, &Setting { path: found, ..Setting::of(run, call, "") }));
    }
    let Some(first) = declared.first() else { return Err("no object declares it".into()) };
    let boundaries: BTreeSet<_> = declared.iter().map(|it| it.boundary.clone()).collect();
    let one = boundaries.iter().flatten().next().cloned().unwrap_or_default();
    let (category, policy) = match (boundaries.len(), boundaries.contains(&None)) {
        (1, false) => (Category::Bounded, WITH),
        (1, true) => (Category::Unbounded, WITHOUT),
        _ => (Category::Rebounded, WITHOUT),
    };
    let mut files = vec![policy];
    if declared.iter().any(|it| it.adoption) {
        files.push(ADOPTION);
    }
    // An object that was `Exclusive` at any time: the recording does not tell which spec a call was made for.
    if declared.iter().any(|it| it.exclusive) {
        files.push(EXCLUSIVE);
    }
    if !call.exists && call.is_write() {
        let setting = Setting { path: &first.iam_path, ..Setting::of(run, call, &one) };
        return Ok((Category::Gone, vec![setting.case(&files, false)], test));
    }
    if let Some(fits) = declared.iter().find(|it| path(it)) {
        let setting = Setting { path: &fits.iam_path, ..Setting::of(run, call, &one) };
        let mut made = vec![setting.case(&files, true)];
        if policy == WITHOUT {
            let files: Vec<&str> = [WITH].into_iter().chain(files.iter().copied().skip(1)).collect();
            made.push(setting.behind_the_boundary(&files));
        }
        return Ok((category, made, test));
    }
    let own = declared.iter().flat_map(|it| &it.own_paths).find(|path| below(&call.resource, path));
    let Some(own) = own else { return Err("below no declared path".into()) };
    let denied = Setting { path: &first.iam_path, ..Setting::of(run, call, &one) };
    let allowed = Setting { path: own, ..Setting::of(run, call, &one) };
    Ok((Category::OwnPath, vec![denied.case(&files, false), allowed.case(&files, true)], test))
}

/// Is this ARN of a role or policy below the path?
fn below(arn: &str, path: &str) -> bool {
    [":role", ":policy"].iter().any(|kind| arn.split_once(kind).is_some_and(|(_, rest)| rest.starts_with(path)))
}

/// The declarations for the object of a call; if the call does not name it, those for all objects of its operator in that
/// account.
fn declared(recording: &Recording, run: &Run, call: &Call) -> Vec<Declared> {
    let owner = ["RequestTag", "ResourceTag"].iter().find_map(|of| call.tag(of, "owner"));
    let owner = owner.and_then(|owner| owner.split_once('/')).map(|(ns, name)| (ns.to_owned(), name.to_owned()));
    let specs: Vec<&Value> = match owner.and_then(|owner| recording.policies.get(&owner)) {
        Some(specs) => specs.iter().collect(),
        None => recording.policies.iter().filter(|((ns, _), _)| run.watches(ns)).flat_map(|(_, specs)| specs).collect(),
    };
    let mut found = BTreeSet::new();
    for spec in specs {
        let own = json!({});
        let account = spec["accountRef"]["name"].as_str();
        let accounts: Vec<&Value> = match account {
            None => vec![&own],
            Some(name) => recording.accounts.get(name).into_iter().flatten().collect(),
        };
        for account in
            accounts.into_iter().filter(|it| it.get("accountId").is_none_or(|id| *id == call.account.as_str()))
        {
            let guardrails = &account["guardrails"];
            let text = |value: &Value| value.as_str().map(str::to_owned);
            found.insert(Declared {
                iam_path: text(&guardrails["iamPath"]).unwrap_or_else(|| run.iam_path().to_owned()),
                own_paths: ["rolePath", "policyPath"].iter().filter_map(|key| text(&spec[key])).collect(),
                boundary: text(&spec["permissionsBoundary"]).or_else(|| text(&guardrails["permissionsBoundary"])),
                adoption: ["Tagged", "Always"].iter().any(|policy| spec["adoptionPolicy"] == *policy),
                exclusive: spec["attachmentPolicy"] == "Exclusive",
            });
        }
    }
    found.into_iter().collect()
}

/// What the placeholders of a policy stand for.
struct Setting<'a> {
    run: &'a Run,
    call: &'a Call,
    path: &'a str,
    boundary: &'a str,
}

impl<'a> Setting<'a> {
    /// With the operator's own path.
    fn of(run: &'a Run, call: &'a Call, boundary: &'a str) -> Self {
        Self { run, call, path: run.iam_path(), boundary }
    }

    /// The call under these files, its names made alike so that calls of one shape become one case.
    fn case(&self, files: &[&str], allowed: bool) -> Value {
        let call = self.call;
        let context: Map<String, Value> =
            call.context.iter().map(|(key, value)| (key.clone(), self.alike(key, value))).collect();
        let boundary =
            if self.boundary.is_empty() { "arn:${Partition}:iam::${AccountId}:policy/unused" } else { self.boundary };
        json!({
            "files": files,
            "allowed": allowed,
            "action": call.action,
            "resource": self.named(&self.at_home(&call.resource)),
            "context": context,
            "placeholders": {
                "Partition": call.partition, "AccountId": ACCOUNT, "IamPath": self.path, "ClusterName": "cluster",
                "PermissionsBoundaryArn": self.at_home(boundary),
            },
        })
    }

    /// The same call where the account demands the boundary, which the operator adds by itself then.
    fn behind_the_boundary(&self, files: &[&str]) -> Value {
        let boundary =
            format!("arn:{}:iam::{}:policy/aurora-log-export-boundary", self.call.partition, self.call.account);
        let mut call = self.call.clone();
        if BEHIND_THE_BOUNDARY.contains(&call.action.as_str()) {
            call.context.insert("iam:PermissionsBoundary".into(), json!(boundary));
        }
        let allowed = call.action != "iam:DeleteRolePermissionsBoundary";
        Setting { run: self.run, call: &call, path: self.path, boundary: &boundary }.case(files, allowed)
    }

    fn at_home(&self, text: &str) -> String {
        text.replace(&format!("::{}:", self.call.account), &format!("::{ACCOUNT}:"))
    }

    /// An ARN, its name replaced: that it is below the path, or absent and of no path that IAM knows, is what counts.
    fn named(&self, arn: &str) -> String {
        if !self.call.exists && arn == self.at_home(&self.call.resource) && arn.contains(":role/") {
            return format!("arn:{}:iam::{ACCOUNT}:role/name", self.call.partition);
        }
        let kind = if arn.contains(":role/") { "role" } else { "policy" };
        let prefix = format!("arn:{}:iam::{ACCOUNT}:{kind}{}", self.call.partition, self.path);
        if self.path != "/" && arn.starts_with(&prefix) { format!("{prefix}name") } else { arn.to_owned() }
    }

    fn alike(&self, key: &str, value: &Value) -> Value {
        let Some(text) = value.as_str() else { return value.clone() };
        let tag = key.split_once("Tag/").map_or("", |(_, tag)| tag);
        let ours = self.run.cluster_name();
        json!(match tag {
            "auroralogexport.dev/managed-by" if text == ours => "cluster".to_owned(),
            "auroralogexport.dev/adoptable-by" if text.starts_with(&format!("{ours}/")) =>
                "cluster/namespace/name".into(),
            "auroralogexport.dev/owner" => "namespace/name".to_owned(),
            "auroralogexport.dev/cluster-uid" => "uid".to_owned(),
            "aurora-account" | "aurora-cluster" => "value".to_owned(),
            _ if key == "iam:PolicyARN" => self.named(&self.at_home(text)),
            _ if key == "sts:ExternalId" || key == "sts:RoleSessionName" => "value".to_owned(),
            _ => self.at_home(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::process;
    use super::super::recording;
    use super::*;

    /// A recording with these calls, after an operator, an account, and an object with these attachment policies in turn.
    fn recorded(name: &str, attachment_policies: &[&str], calls: &[Value]) -> Result<Recording> {
        let guardrails = json!({ "iamPath": "/exports/", "permissionsBoundary": "arn:aws:iam::222222222222:policy/b" });
        let mut lines = vec![
            json!({ "run": { "id": "run-0", "test": "a_test", "flags": ["--cluster-name=c"], "clusterUid": "u" } }),
            json!({ "object": { "kind": "AwsAccount", "name": "prod",
                                "spec": { "accountId": "222222222222", "guardrails": guardrails } } }),
        ];
        lines.extend(attachment_policies.iter().map(|policy| {
            let spec = json!({ "accountRef": { "name": "prod" }, "attachmentPolicy": policy });
            json!({ "object": { "kind": "AuroraLogExportPolicy", "namespace": "ns", "name": "orders", "spec": spec } })
        }));
        lines.extend(calls.iter().map(|call| json!({ "call": call })));
        let path = process::work_dir()?.join(format!("cases-{name}.jsonl"));
        std::fs::write(&path, lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))?;
        recording::read(&path)
    }

    fn call(run: &str, action: &str, resource: &str) -> Value {
        json!({ "run": run, "account": "222222222222", "partition": "aws", "action": action, "resource": resource,
                "exists": true, "context": { "aws:RequestTag/auroralogexport.dev/owner": "ns/orders" } })
    }

    #[test]
    fn a_call_is_judged_by_what_was_declared_for_its_object() -> Result<()> {
        let resource = "arn:aws:iam::222222222222:role/exports/orders";
        let found = of(&recorded("declared", &["Additive"], &[call("run-0", "iam:CreateRole", resource)])?)?;
        let [case] = found.cases.as_slice() else { anyhow::bail!("{:?}", found.cases) };
        assert_eq!((&case["files"], &case["allowed"]), (&json!(["operator-policy"]), &json!(true)));
        let filled = &case["placeholders"];
        assert_eq!((&filled["IamPath"], &filled["ClusterName"]), (&json!("/exports/"), &json!("cluster")));
        assert_eq!(filled["PermissionsBoundaryArn"], "arn:aws:iam::111111111111:policy/b");
        assert_eq!(case["resource"], "arn:aws:iam::111111111111:role/exports/name");
        Ok(())
    }

    #[test]
    fn an_object_that_was_exclusive_at_any_time_has_the_policy_for_it() -> Result<()> {
        let resource = "arn:aws:iam::222222222222:role/exports/orders";
        for (name, life, expected) in [
            ("additive", vec!["Additive"], json!(["operator-policy"])),
            ("exclusive", vec!["Additive", "Exclusive"], json!(["operator-policy", "operator-policy-exclusive"])),
            ("no-longer", vec!["Exclusive", "Additive"], json!(["operator-policy", "operator-policy-exclusive"])),
        ] {
            let found = of(&recorded(name, &life, &[call("run-0", "iam:DetachRolePolicy", resource)])?)?;
            let files: Vec<&Value> = found.cases.iter().map(|case| &case["files"]).collect();
            assert_eq!(files, [&expected], "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_call_that_fits_nothing_is_an_error() -> Result<()> {
        let elsewhere = "arn:aws:iam::222222222222:role/elsewhere/orders";
        for (name, stray) in [
            ("path", call("run-0", "iam:CreateRole", elsewhere)),
            ("run", call("run-9", "iam:CreateRole", elsewhere)),
            ("command", call(COMMAND_LINE, "iam:CreateRole", elsewhere)),
        ] {
            let error =
                of(&recorded(name, &["Additive"], &[stray])?).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("1 calls fit no category"), "{name}: {error}");
        }
        Ok(())
    }
}
