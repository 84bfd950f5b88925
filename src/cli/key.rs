//! Names of objects on the command line.

use crate::model::names::Owner;

/// Parses `NAMESPACE/NAME`, or a name in the default namespace. `alep/NAME`, as kubectl prints it, also works.
pub(super) fn key(text: &str, default_namespace: &str) -> Owner {
    match text.split_once('/') {
        Some(("alep" | "auroralogexportpolicy.auroralogexport.dev", name)) => Owner::new(default_namespace, name),
        Some((namespace, name)) => Owner::new(namespace, name),
        None => Owner::new(default_namespace, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_kubectl_names_it() {
        let orders = Owner::new("shop", "orders");
        assert_eq!(key("shop/orders", "other"), orders);
        assert_eq!(key("orders", "shop"), orders);
        assert_eq!(key("alep/orders", "shop"), orders);
    }
}
