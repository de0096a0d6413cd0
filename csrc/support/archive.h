// Plain data to bytes and back. A struct says its fields once, for both directions:
//
//   template <class A> void archive(A& a, Point& p) { auto& [x, y] = p; a(x, y); }
//
// (a structured binding, so that a field which is added to the struct and forgotten here does not compile). Numbers, enums, strings
// and sequences are known. The bytes are for the machine that wrote them.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace torch_hpu {

// What a Reader throws when bytes end early or are left over.
struct BadArchive : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {

template <class T>
inline constexpr bool is_plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <class T>
concept Sequence = requires(T& x) {
  x.begin();
  x.push_back(typename T::value_type{});
};

}  // namespace detail

class Writer {
 public:
  template <class... T>
  void operator()(const T&... fields) {
    (put(fields), ...);
  }
  std::string take() {
    return std::move(bytes_);
  }

 private:
  template <class T>
  void put(const T& x) {
    if constexpr (detail::is_plain<T>) {
      bytes_.append(reinterpret_cast<const char*>(&x), sizeof x);
    } else if constexpr (std::is_same_v<T, std::string>) {
      put(x.size());
      bytes_ += x;
    } else if constexpr (detail::Sequence<T>) {
      put(x.size());
      for (const auto& item : x) {
        put(static_cast<const typename T::value_type&>(item));
      }
    } else {
      archive(*this, const_cast<T&>(x));  // which only reads it
    }
  }

  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class... T>
  void operator()(T&... fields) {
    (get(fields), ...);
  }
  void finish() const {
    if (!bytes_.empty()) {
      throw BadArchive("bytes are left over");
    }
  }

 private:
  std::string_view cut(size_t n) {
    if (n > bytes_.size()) {
      throw BadArchive("the bytes end early");
    }
    const std::string_view head = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return head;
  }

  template <class T>
  void get(T& x) {
    if constexpr (detail::is_plain<T>) {
      std::memcpy(&x, cut(sizeof x).data(), sizeof x);
    } else if constexpr (std::is_same_v<T, std::string>) {
      size_t n = 0;
      get(n);
      x = cut(n);
    } else if constexpr (detail::Sequence<T>) {
      size_t n = 0;
      get(n);
      if (n > bytes_.size()) {  // no item is smaller than a byte
        throw BadArchive("a sequence is longer than the bytes");
      }
      x.clear();
      for (size_t i = 0; i < n; ++i) {
        typename T::value_type item{};
        get(item);
        x.push_back(std::move(item));
      }
    } else {
      archive(*this, x);
    }
  }

  std::string_view bytes_;
};

}  // namespace torch_hpu
