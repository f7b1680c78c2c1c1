/* How the kernel's messages find a pager.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#define MEMORY_OBJECT_INTRAN pager_t _pager_of_port (memory_object_t)
#define MEMORY_OBJECT_INTRAN_PAYLOAD pager_t _pager_of_payload
#define MEMORY_OBJECT_DESTRUCTOR _pager_done (pager_t)
#define MEMORY_OBJECT_IMPORTS import "priv.h";
