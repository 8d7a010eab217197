#include "compat/codes.hpp"

#include <cerrno>

#include "cpg/wire_format.hpp"

namespace cpgring::compat {

cs_error_t code_of(const error& why) noexcept {
  if (why.code.category() == error_category()) {
    const int value = why.code.value();
    if (value <= static_cast<int>(errc::security)) {
      const cs_error_t code = code_of_service(value);
      return code == CS_OK ? CS_ERR_LIBRARY : code;
    }
    return value == static_cast<int>(errc::service_not_ready) ? CS_ERR_TRY_AGAIN : CS_ERR_LIBRARY;
  }
  switch (why.code.value()) {
    case EAGAIN:
    case ETIMEDOUT:
    case ENOBUFS: return CS_ERR_TRY_AGAIN;
    case EBADF: return CS_ERR_BAD_HANDLE;
    case EINTR: return CS_ERR_INTERRUPT;
    case EACCES: return CS_ERR_ACCESS;
    case ENOMEM: return CS_ERR_NO_MEMORY;
    case ENOSPC: return CS_ERR_NO_SPACE;
    case EINVAL: return CS_ERR_INVALID_PARAM;
    case ENOENT:
    case ENODEV: return CS_ERR_NOT_EXIST;
    default: return CS_ERR_LIBRARY;
  }
}

cs_error_t code_of_service(std::int32_t said) noexcept {
  return cpg::wire::status::is_known(said) ? static_cast<cs_error_t>(said) : CS_ERR_LIBRARY;
}

}  // namespace cpgring::compat
