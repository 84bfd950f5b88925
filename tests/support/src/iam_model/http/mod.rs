//! The AWS Query protocol in front of the model; see the submodules.
