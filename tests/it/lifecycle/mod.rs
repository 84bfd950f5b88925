//! What the operator owns it keeps right, what it does not own it never touches: the life of an object between its
//! creation and its end, against the real API server and the model of IAM, which has AWS's rules.

mod adoption;
mod attachments;
mod bystanders;
mod controls;
mod costs;
mod deletion;
mod drift;
mod effective;
mod emulator;
mod orphans;
mod outputs;
mod ownership;
mod partitions;
mod peers;
mod random;
mod stage;
