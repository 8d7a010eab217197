#include "base/throw_error.hpp"

#include <string>
#include <system_error>
#include <utility>

namespace cpgring::base {
namespace {

/// std::system_error puts the code's own text behind what it is given, which reads as if two things had gone wrong.
class told_error final : public std::system_error {
 public:
  told_error(std::error_code code, std::string text) : std::system_error(code), text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace

void throw_error(error what) {
  std::string text = what.message();
  throw told_error(what.code, std::move(text));
}

}  // namespace cpgring::base
