//! The kinds that the operator writes to.

use std::fmt::Debug;

use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::stored::{Kind, Stored};

/// A kind that the operator writes to: finalizer, status, and events about its objects.
pub trait Managed: Resource<DynamicType = ()> + DeserializeOwned + Sized {
    /// Its status.
    type Status: Serialize + PartialEq + Debug;

    /// The object's status.
    fn status(&self) -> &Self::Status;

    /// Requests about objects in this one's namespace.
    fn request(&self) -> kube::core::Request {
        kube::core::Request::new(Self::url_path(&(), self.meta().namespace.as_deref()))
    }

    /// Kind and name, for errors.
    fn describe(&self) -> String {
        let kind = Self::kind(&()).to_lowercase();
        match &self.meta().namespace {
            Some(namespace) => format!("{kind} {namespace}/{}", self.name_any()),
            None => format!("{kind} {}", self.name_any()),
        }
    }
}

impl<Spec, Status> Managed for Stored<Spec, Status>
where
    Spec: Kind,
    Status: Serialize + DeserializeOwned + Default + PartialEq + Debug,
{
    type Status = Status;

    fn status(&self) -> &Status {
        &self.status
    }
}
