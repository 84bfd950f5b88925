//! Nothing lost, nothing doubled, whatever breaks: AWS, the way to it, credentials, the API server, or the operator
//! itself, against the real API server and the model of IAM.

mod absence;
mod apiserver;
mod apiserver_answers;
mod classes;
mod credentials;
mod events;
mod isolation;
mod leader;
mod site;
mod soak;
