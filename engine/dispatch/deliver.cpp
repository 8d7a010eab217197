#include "dispatch/deliver.hpp"

namespace cpgring::dispatch {

error describe_thrown() noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    return {errc::callback_threw, std::string("a callback threw: ") + e.what()};
  } catch (...) {
    return {errc::callback_threw, "a callback threw something that is not a std::exception"};
  }
}

}  // namespace cpgring::dispatch
