//! Bodies of the wrong shape, for every operation of the services' models.

use super::{UNSIGNED, run};
use crate::server::{Setup, stream};

#[test]
fn whatever_is_of_the_wrong_shape_is_refused_by_its_type() {
    let server = Setup::pipeline(stream("s", 1)).node(UNSIGNED).start();
    if run(&server, "shapes.py", &[]).is_some() {
        // It also looks whether anything has panicked.
        server.stop();
    }
}
