//! What one namespace can do to another with nothing but its rights on its own objects: nothing that the other would notice.

mod http;
mod limits;
mod load;
mod names;
mod races;
