//! Errors as AWS words them: classed, and told without what varies from try to try.
#![no_main]

use aurora_log_export_operator::pipeline::port::error::{class_of, stable_message};
use aurora_log_export_operator::pipeline::port::{ErrorClass, IamError, Operation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((status, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let status = 100 + u16::from_le_bytes(*status) % 500;
    let text = String::from_utf8_lossy(rest);
    let (code, message) = text.split_once('\n').unwrap_or(("", &text));
    let class = class_of((!code.is_empty()).then_some(code), Some(status));
    assert!(ErrorClass::ALL.contains(&class));
    if status >= 500 && code.is_empty() {
        assert!(!class.is_terminal(), "an AWS that fails is tried again soon");
    }
    let message = stable_message(message);
    assert!(message.chars().count() <= 400);
    let error =
        IamError { class, operation: Operation::GetRole, resource: "role x".into(), code: code.to_owned(), message };
    let told = error.user_message();
    assert!(told.contains("iam:GetRole") && told.contains("role x") && told.contains(class.next_step()), "{told}");
});
