#include "textflag.h"

// func threadSwitch(thread Port, option, ms uint32) uint32
//
// The trap takes the arguments from 4(SP) on: this function's own.
TEXT ·threadSwitch(SB),NOSPLIT,$0-16
	MOVL	$-61, AX
	BYTE	$0x9A; LONG $0; WORD $7
	MOVL	AX, ret+12(FP)
	RET
