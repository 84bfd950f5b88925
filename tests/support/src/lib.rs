//! A real control plane, IAM emulators and faults, for the tests, the demo and the benchmarks.
//!
//! [`environment::Environment`] is the entrance: etcd, kube-apiserver and moto on free ports of 127.0.0.1, everything
//! they write under `target/`, and nothing of it alive once the process that started it is gone.

pub mod apiserver_proxy;
pub mod apply;
pub mod aws_query;
pub mod calls;
pub mod connect_proxy;
pub mod controlplane;
pub mod environment;
pub mod http;
pub mod iam_model;
pub mod kubeconfig;
pub mod link;
pub mod moto;
mod moto_proxy;
pub mod operator;
pub mod paths;
pub mod ports;
pub mod rbac;
pub mod recording;
pub mod rights;
pub mod supervisor;
pub mod tls;
pub mod tools;
pub mod wait;
