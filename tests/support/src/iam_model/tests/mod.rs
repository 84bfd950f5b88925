//! One test for each rule of AWS that the model implements.

mod documents;
mod faults;
mod lists;
mod policies;
mod random;
mod roles;

use super::{ApiError, CreatePolicy, CreateRole, Iam, Tags};
use serde_json::json;

type Outcome = Result<(), ApiError>;

const ACCOUNT: &str = "111122223333";

fn account() -> Iam {
    Iam::new(ACCOUNT)
}

fn document() -> String {
    let statement = json!({"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn trust() -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "rds.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    .to_string()
}

fn policy(name: &str) -> CreatePolicy {
    CreatePolicy { name: name.to_owned(), document: document(), ..CreatePolicy::default() }
}

fn role(name: &str) -> CreateRole {
    CreateRole { name: name.to_owned(), trust: trust(), ..CreateRole::default() }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The error's code, or `OK`.
fn code<T>(result: Result<T, ApiError>) -> String {
    result.map_or_else(|error| error.code, |_| "OK".to_owned())
}
