// Our errors as the cs_error_t that stock libcpg has for the same cause.
#pragma once

#include <corosync/corotypes.h>

#include <cpgring/error.hpp>

namespace cpgring::compat {

cs_error_t code_of(const error& why) noexcept;

}  // namespace cpgring::compat
