// A kernel's parameters, read from its C++ type, and the function that calls it: CHAINRULE_KERNEL(name).
#pragma once

namespace emulated {

template <typename T>
constexpr char kind_of() {
    return std::is_void<T>::value                ? 'v'
           : std::is_pointer<T>::value           ? 'p'
           : std::is_same<T, bool>::value        ? 'b'
           : std::is_floating_point<T>::value    ? 'f'
           : std::is_enum<T>::value              ? 'o'
           : !std::is_integral<T>::value         ? 'o'
           : std::is_signed<T>::value            ? 'i'
                                                 : 'u';
}

// What numbers a pointee consists of: itself, or of a vector type x, y, ...
template <typename T, typename = void>
struct Elements {
    using type = T;
};
template <typename T>
struct Elements<T, std::void_t<decltype(std::declval<T>().x)>> {
    using type = std::remove_cv_t<decltype(std::declval<T>().x)>;
};
template <typename T>
constexpr int size_of() {
    if constexpr (std::is_void<T>::value) return 1;
    else return (int)sizeof(T);
}

template <typename P>
constexpr Parameter describe() {
    if constexpr (std::is_pointer<P>::value) {
        using Pointee = std::remove_pointer_t<P>;
        using Whole = std::remove_cv_t<Pointee>;
        using Element = typename Elements<Whole>::type;
        const int size = size_of<Element>();
        const bool constant = std::is_const<Pointee>::value;
        return {'p', kind_of<Element>(), constant, (unsigned char)(size_of<Whole>() / size), size};
    } else {
        return {kind_of<P>(), 'v', 0, 1, (int)sizeof(P)};
    }
}

template <auto kernel>
struct Described;
template <typename... P, void (*kernel)(P...)>
struct Described<kernel> {
    static constexpr Parameter parameters[sizeof...(P) + 1] = {describe<std::remove_cv_t<P>>()...};
    template <size_t... I>
    __attribute__((no_sanitize("thread"))) static void apply(void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_cv_t<P>*>(arguments[I])...);
    }
    static void call(void** arguments) { apply(arguments, std::index_sequence_for<P...>()); }
    static Kernel value() { return {call, reinterpret_cast<const void*>(kernel), parameters, (int)sizeof...(P)}; }
};

}  // namespace emulated

#define CHAINRULE_KERNEL(name)                                                        \
    extern "C" __attribute__((visibility("default"))) const emulated::Kernel chainrule_kernel_##name = \
        emulated::Described<&name>::value();
