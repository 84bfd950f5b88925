//! The binary: parse, set up, dispatch.

fn main() {
    for crd in aurora_log_export_operator::api::crds() {
        println!("---\n{}", serde_saphyr::to_string(&crd).unwrap_or_default());
    }
}
