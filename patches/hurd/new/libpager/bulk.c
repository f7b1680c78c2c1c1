/* What stands for pager_write_pages where the user has none.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include "priv.h"

error_t __attribute__ ((weak))
pager_write_pages (struct user_pager_info *upi, vm_offset_t offset, vm_address_t data,
		   vm_size_t length, vm_size_t *written)
{
  (void) upi, (void) offset, (void) data, (void) length;
  *written = 0;
  return EOPNOTSUPP;
}
