// Maps our errors, and the status codes of services, to the cs_error_t that stock libcpg has for the same
// cause.
#pragma once

#include <cstdint>

#include <corosync/corotypes.h>

#include <cpgring/error.hpp>

#include "cpg/requests.hpp"

namespace cpgring::compat {

/// Never CS_OK.
cs_error_t code_of(const error& why) noexcept;

/// Maps the status in the header of an answer, which is untrusted: anything but a value of cs_error_t becomes
/// CS_ERR_LIBRARY.
cs_error_t code_of_service(std::int32_t said) noexcept;
/// The status of an answer that has a header.
inline cs_error_t status_in(cpg::answer_bytes answer) noexcept {
  return code_of_service(cpg::status_of(answer));
}

}  // namespace cpgring::compat
