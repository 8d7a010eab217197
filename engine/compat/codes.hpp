// Our errors, and what services say, as the cs_error_t that stock libcpg has for the same cause.
#pragma once

#include <cstdint>

#include <corosync/corotypes.h>

#include <cpgring/error.hpp>

namespace cpgring::compat {

/// Never CS_OK.
cs_error_t code_of(const error& why) noexcept;

/// What the header of an answer says, which is foreign: anything but a value of cs_error_t is CS_ERR_LIBRARY.
cs_error_t code_of_service(std::int32_t said) noexcept;

}  // namespace cpgring::compat
