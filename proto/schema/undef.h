/* Forgets the field macros after an inclusion of messages.def. No include guard on purpose. */
#undef MSG_BEGIN
#undef STR
#undef BIN
#undef INT
#undef BOOL
#undef TIME
#undef ENUM
#undef MSG
#undef STRS
#undef MSGS
#undef SMAP
#undef MSG_END
