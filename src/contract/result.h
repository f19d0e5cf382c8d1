// Result<T>: a value or an expected failure. No exceptions below apps and bindings.
#pragma once

#include <tl/expected.hpp>

#include "contract/error.h"

namespace shadowserve {

template <typename T>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

/// `return fail(Error::kMiss);`
inline Failure fail(Error error) { return Failure(error); }

}  // namespace shadowserve
