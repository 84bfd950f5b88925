//! The watch of the operator's `ConfigMaps`: which objects must publish their outputs again. Only the leader watches, and
//! only with `--enable-outputs`. Nothing of a ConfigMap is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{SelectAll, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};

use super::values::{LABEL, Values, controls};
use crate::api::FIELD_MANAGER;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::operator::watches::{ConfigMapStream, watch_config_maps};

/// See the [module](self).
pub struct OutputsWatch {
    context: Arc<Context>,
    events: Option<SelectAll<ConfigMapStream>>,
    /// `ConfigMaps` seen since a watch began to list.
    seen: BTreeMap<Option<String>, BTreeSet<Owner>>,
}

impl OutputsWatch {
    /// Not watching yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, events: None, seen: BTreeMap::new() }
    }

    /// Watches from now on, or no longer.
    pub fn set_active(&mut self, active: bool) {
        if !active || !self.context.settings.enable_outputs {
            self.events = None;
        } else if self.events.is_none() {
            let selector = format!("{LABEL}={FIELD_MANAGER}");
            let client = self.context.kubernetes.client();
            self.events = Some(watch_config_maps(client, &self.context.watched, &selector));
        }
    }

    /// The objects whose ConfigMap is not as it was published, and when to publish it again. It may be empty. No event is
    /// lost if the future is dropped.
    pub async fn next(&mut self) -> Vec<(Arc<PolicyObject>, Instant)> {
        let event = match &mut self.events {
            Some(events) => events.next().await,
            None => std::future::pending().await,
        };
        event.map(|(scope, event)| self.judge(scope, event)).unwrap_or_default()
    }

    fn judge(
        &mut self,
        scope: Option<String>,
        event: Result<Event<ConfigMap>, watcher::Error>,
    ) -> Vec<(Arc<PolicyObject>, Instant)> {
        let changed: Vec<Arc<PolicyObject>> = match event {
            Err(error) => {
                tracing::warn!(
                    %error,
                    "ConfigMaps cannot be watched; outputs need the permissions in deploy/kustomize/components/outputs; \
                     until then, an edited ConfigMap is published again within an hour"
                );
                Vec::new()
            }
            Ok(Event::Init) => {
                self.seen.insert(scope, BTreeSet::new());
                Vec::new()
            }
            Ok(Event::InitApply(config_map)) => {
                self.seen.entry(scope).or_default().insert(key_of(&config_map));
                self.objects_with_other_values(&config_map)
            }
            Ok(Event::InitDone) => {
                let seen = self.seen.remove(&scope).unwrap_or_default();
                let here =
                    |object: &Arc<PolicyObject>| scope.as_deref().is_none_or(|scope| scope == object.namespace());
                let missing = |object: &Arc<PolicyObject>| {
                    let name = config_map_name(object).filter(|_| object.status.outputs.is_some());
                    name.is_some_and(|name| !seen.contains(&Owner::new(object.namespace(), name)))
                };
                self.context.index.all().into_iter().filter(here).filter(missing).collect()
            }
            Ok(Event::Apply(config_map)) => self.objects_with_other_values(&config_map),
            Ok(Event::Delete(config_map)) => self.objects_of(&config_map),
        };
        let due = |object: Arc<PolicyObject>| {
            let at = self.context.states.outputs.changed(&object);
            (object, at)
        };
        changed.into_iter().map(due).collect()
    }

    fn objects_with_other_values(&self, config_map: &ConfigMap) -> Vec<Arc<PolicyObject>> {
        let mut objects = self.objects_of(config_map);
        objects.retain(|object| !is_right(&self.context, object, config_map));
        objects
    }

    /// The objects that have published this ConfigMap: the one that controls it, or another one if that was edited.
    fn objects_of(&self, config_map: &ConfigMap) -> Vec<Arc<PolicyObject>> {
        let Owner { namespace, name } = key_of(config_map);
        let has_published = |object: &Arc<PolicyObject>| {
            let published = object.status.outputs.as_ref().is_some_and(|outputs| outputs.config_map_name == *name);
            published && object.namespace() == &*namespace && config_map_name(object) == Some(&*name)
        };
        let index = &self.context.index;
        let owners = config_map.owner_references().iter();
        let owner = |owner: &OwnerReference| index.get(&Owner::new(namespace.clone(), owner.name.as_str()));
        let controlling: Vec<_> = owners.filter_map(owner).filter(has_published).collect();
        if controlling.is_empty() { index.all().into_iter().filter(has_published).collect() } else { controlling }
    }
}

fn key_of(config_map: &ConfigMap) -> Owner {
    Owner::new(config_map.namespace().unwrap_or_default(), config_map.name_any())
}

/// The ConfigMap that an object publishes now.
fn config_map_name(object: &PolicyObject) -> Option<&str> {
    let spec = object.spec.as_ref().ok().filter(|_| !object.is_deleting())?;
    Some(spec.outputs.as_ref()?.config_map_ref.as_ref()?.name.as_str())
}

/// True if the ConfigMap is the object's own and has what was published, or what the status says after a restart.
fn is_right(context: &Context, object: &PolicyObject, config_map: &ConfigMap) -> bool {
    let expected = context.states.outputs.expected(object).or_else(|| Values::of(object));
    controls(object, config_map) && expected.is_some_and(|expected| expected.are_in(config_map))
}
